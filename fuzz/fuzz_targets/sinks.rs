//! Writes any segments in every format, and checks that they can be read back.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use steadyscribe::sink::Format;
use steadyscribe::{Ending, Segment, Span, Time, Token};

#[derive(Arbitrary, Debug)]
struct Said {
    start: u64,
    length: u32,
    text: String,
    confidence: f32,
    channel: Option<u8>,
    tokens: Vec<(u32, String, u32)>,
}

#[derive(Arbitrary, Debug)]
struct Transcript {
    said: Vec<Said>,
    uncovered: Vec<(u64, u64)>,
    language: Option<String>,
    file: String,
}

fn segment((id, said): (usize, &Said)) -> Segment {
    let start = Time::from_samples(said.start);
    let at = |length: u32| start + Time::from_samples(length.into());
    let mut segment = Segment::new(start, at(said.length), said.text.as_str());
    segment.id = id as u64;
    segment.quality.confidence = Some(said.confidence);
    segment.channel = said.channel;
    let token = |(id, text, length): &(u32, String, u32)| {
        Token::new(*id, text.as_str(), said.confidence, start, at(*length))
    };
    segment.tokens = said.tokens.iter().map(token).collect();
    segment
}

fn written(format: Format, segments: &[Segment], ending: &Ending, file: &str) -> String {
    let mut bytes = Vec::new();
    let mut sink = format.sink(&mut bytes, file);
    for segment in segments {
        sink.segment(segment).expect("memory takes everything");
    }
    sink.finish(ending).expect("memory takes everything");
    drop(sink);
    String::from_utf8(bytes).expect("transcripts are UTF-8")
}

/// Subtitles: a time line in every block, in order, and text that cannot end its block.
fn check_cues(written: &str, comma: char) {
    let (mut cues, mut last_start_ms) = (0, 0);
    for block in written.split("\n\n").filter(|block| !block.is_empty()) {
        let arrows = block.matches("-->").count();
        if arrows == 0 {
            assert_eq!(block, "WEBVTT");
            continue;
        }
        assert_eq!(arrows, 1, "{block:?}");
        let times = block
            .lines()
            .find(|line| line.contains("-->"))
            .expect("counted");
        let (start, end) = times
            .split_once(" --> ")
            .expect("an arrow between two times");
        let ms = |time: &str| -> u64 {
            let (clock, ms) = time.split_once(comma).expect("milliseconds");
            let clock = clock
                .split(':')
                .map(|part| part.parse::<u64>().expect("digits"));
            clock.fold(0, |sum, part| sum * 60 + part) * 1_000 + ms.parse::<u64>().expect("digits")
        };
        assert!(ms(start) <= ms(end) && last_start_ms <= ms(start), "{times}");
        last_start_ms = ms(start);
        cues += 1;
        if comma == ',' {
            assert_eq!(block.lines().next(), Some(cues.to_string().as_str()));
        }
    }
}

fn check(format: Format, written: &str, segments: &[Segment]) {
    match format {
        Format::Json => {
            let json: serde_json::Value = serde_json::from_str(written).expect("valid JSON");
            let found = json["segments"].as_array().expect("segments");
            assert_eq!(found.len(), segments.len());
            for (found, segment) in found.iter().zip(segments) {
                assert_eq!(found["text"].as_str(), Some(segment.text.as_str()));
            }
        }
        Format::JsonLines => {
            assert_eq!(written.lines().count(), segments.len());
            for (line, segment) in written.lines().zip(segments) {
                let json: serde_json::Value = serde_json::from_str(line).expect("valid JSON");
                assert_eq!(json["text"].as_str(), Some(segment.text.as_str()));
            }
        }
        Format::Csv => {
            let mut reader = csv::Reader::from_reader(written.as_bytes());
            let records: Vec<_> = reader
                .records()
                .collect::<Result<_, _>>()
                .expect("valid CSV");
            assert_eq!(records.len(), segments.len());
            for (record, segment) in records.iter().zip(segments) {
                assert_eq!(&record[3], segment.text.as_str());
            }
        }
        Format::Srt => check_cues(written, ','),
        Format::Vtt => check_cues(written, '.'),
        Format::Lrc => {
            assert!(
                written
                    .lines()
                    .all(|line| line.starts_with('[') && line.contains(']'))
            );
        }
        _ => assert!(written.chars().all(|c| c == '\n' || !c.is_control())),
    }
}

fuzz_target!(|transcript: Transcript| {
    let segments: Vec<Segment> = transcript.said.iter().enumerate().map(segment).collect();
    let span = |&(a, b): &(u64, u64)| Span::new(Time::from_samples(a), Time::from_samples(b));
    let mut ending = Ending::default();
    ending.uncovered = transcript.uncovered.iter().map(span).collect();
    ending.language = transcript.language.clone();
    for format in Format::ALL {
        let written = written(format, &segments, &ending, &transcript.file);
        check(format, &written, &segments);
    }
});
