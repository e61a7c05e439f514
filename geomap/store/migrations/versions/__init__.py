"""One file per change to the store, in order. A file that was released is never changed."""
