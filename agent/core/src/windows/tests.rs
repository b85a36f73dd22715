//! Windows, as tables.
