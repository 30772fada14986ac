//! Tests of the parts together, in one program.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]
#![expect(clippy::cast_possible_truncation, reason = "what tests make is small")]

mod decode;
mod support;
