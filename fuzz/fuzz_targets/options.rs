//! Parses values of command lines: sizes, times, formats. Accepted ones lie in their range.

#![no_main]

use libfuzzer_sys::fuzz_target;
use steadyscribe::Config;
use steadyscribe::sink::Format;
use steadyscribe::source::RawFormat;

#[allow(dead_code)]
#[path = "../../examples/transcribe/quantity.rs"]
mod quantity;

fuzz_target!(|text: &str| {
    if let Ok(bytes) = quantity::bytes(text) {
        assert!((1..=1_000_000_000_000_000_000).contains(&bytes), "{bytes}");
        assert!(quantity::megabytes(bytes).ends_with(" MB"));
    }
    if let Ok(time) = quantity::time(text) {
        assert!((0.0..=86_400_000.0).contains(&time.seconds()), "{time}");
        let mut config = Config::default();
        config.window_s = time.seconds() as f32;
        let fits = (5.0..=30.0).contains(&config.window_s);
        assert_eq!(config.validate().is_ok(), fits, "{time}");
        assert!(!quantity::clock(time.seconds()).is_empty());
    }
    if let Ok(format) = text.parse::<RawFormat>() {
        assert_eq!(format.to_string().parse(), Ok(format));
    }
    if let Ok(format) = text.parse::<Format>() {
        assert!(format.extension().eq_ignore_ascii_case(text));
    }
});
