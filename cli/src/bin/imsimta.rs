//! The `imsimta` command.
fn main() {}
