//! From files to 16 kHz mono: every format, every trap.

mod damage;
mod formats;
mod hostile;
mod memory;
mod sweep;
mod traps;
mod unsupported;
mod wave;
