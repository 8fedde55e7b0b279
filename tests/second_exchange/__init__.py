"""An exchange written a second time, from the exchange's documents alone, and the product examined against it."""
