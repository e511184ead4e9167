/// Rows of the table of users.
pub const USERS: usize = 50;
/// Rows of the table of items.
pub const ITEMS: usize = 40;
/// Elements of a row.
pub const WIDTH: usize = 8;
