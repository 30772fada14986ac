//! Tests of the parts together, in one program.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

mod decode;
mod support;
