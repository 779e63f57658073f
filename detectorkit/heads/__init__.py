"""What turns a row of features into a score."""
