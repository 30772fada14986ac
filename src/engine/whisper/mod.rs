//! whisper.cpp with our own decoding loop.
