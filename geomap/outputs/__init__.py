"""What a run leaves behind: tables, maps, a report; each file whole or not at all."""
