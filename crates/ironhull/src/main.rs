//! The `ironhull` program.

fn main() {}
