"""What is known of a tensor, and where its content lies."""
