//! A file on disk.
use super::*;
/// A file.
#[derive(Debug)]
pub struct FileSource;
