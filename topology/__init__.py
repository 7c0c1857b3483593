"""The words and the map: what every other floor may say, and where everything stands."""
