"""The application `orders`."""
