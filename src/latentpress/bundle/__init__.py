"""What a bundle is and what its graphs take. Knows no engine and no way to make one."""
