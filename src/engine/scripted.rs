//! An engine that says what it is told, for tests.
/// Placeholder.
#[derive(Debug)]
pub struct Scripted;
/// Placeholder.
#[derive(Debug)]
pub struct ScriptedUtterance;
