"""From plots and land cover to kilograms with their error."""
