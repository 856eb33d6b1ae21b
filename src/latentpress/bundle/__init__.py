"""What a bundle is and what its graphs take. Knows neither engines nor how a bundle is made."""
