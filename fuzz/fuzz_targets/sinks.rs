//! Writes any segments in every format, and reads them back.

#![no_main]

use std::collections::HashMap;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use steadyscribe::sink::Format;
use steadyscribe::{Ending, Segment, Span, Time, Token};

#[derive(Arbitrary, Debug)]
struct Spoken {
    start: u64,
    length: u32,
    channel: Option<u8>,
    text: String,
    confidence: Option<f32>,
    tokens: Vec<(u32, String, f32, u32)>,
}

#[derive(Arbitrary, Debug)]
struct Transcript {
    spoken: Vec<Spoken>,
    uncovered: Vec<(u64, u64)>,
    language: Option<String>,
    file: String,
}

fn segment((id, spoken): (usize, &Spoken)) -> Segment {
    let start = Time::from_samples(spoken.start);
    let after = |length: u32| start + Time::from_samples(length.into());
    let mut segment = Segment::new(start, after(spoken.length), spoken.text.as_str());
    segment.id = id as u64;
    segment.channel = spoken.channel;
    segment.quality.confidence = spoken.confidence.filter(|figure| figure.is_finite());
    let token = |(id, text, p, length): &(u32, String, f32, u32)| {
        Token::new(*id, text.as_str(), *p, start, after(*length))
    };
    segment.tokens = spoken.tokens.iter().map(token).collect();
    segment
}

fn written(format: Format, segments: &[Segment], ending: &Ending, file: &str) -> String {
    let mut bytes = Vec::new();
    let mut sink = format.sink(&mut bytes, file);
    for segment in segments {
        let takes_more = sink.segment(segment).expect("memory takes everything");
        assert!(takes_more, "a format never has enough");
        sink.reached(segment.start)
            .expect("memory takes everything");
    }
    sink.finish(ending).expect("memory takes everything");
    drop(sink);
    String::from_utf8(bytes).expect("transcripts are UTF-8")
}

/// Checks subtitles: each block has one line with times, starts are in order, and no text ends its
/// block. `comma` separates seconds and milliseconds.
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
        assert!(ms(start) <= ms(end), "{times}");
        assert!(last_start_ms <= ms(start), "{times}");
        last_start_ms = ms(start);
        cues += 1;
        if comma == ',' {
            assert_eq!(block.lines().next(), Some(cues.to_string().as_str()));
        }
    }
}

/// Checks the objects of segments: what was written is read.
fn check_objects(objects: &[serde_json::Value], segments: &[Segment]) {
    assert_eq!(objects.len(), segments.len());
    for (object, segment) in objects.iter().zip(segments) {
        assert_eq!(object["text"].as_str(), Some(segment.text.as_str()));
        let channel = object["channel"].as_u64();
        assert_eq!(channel, segment.channel.map(u64::from));
    }
}

fn check_csv(written: &str, segments: &[Segment]) {
    let mut reader = csv::Reader::from_reader(written.as_bytes());
    let records: Result<Vec<HashMap<String, String>>, _> = reader.deserialize().collect();
    let records = records.expect("valid CSV");
    assert_eq!(records.len(), segments.len());
    for (record, segment) in records.iter().zip(segments) {
        assert_eq!(record["text"], segment.text);
    }
}

fn check(format: Format, written: &str, segments: &[Segment]) {
    match format {
        Format::Json => {
            let json: serde_json::Value = serde_json::from_str(written).expect("valid JSON");
            check_objects(json["segments"].as_array().expect("segments"), segments);
        }
        Format::JsonLines => {
            let lines = written.split_terminator('\n').map(serde_json::from_str);
            let lines: Result<Vec<_>, _> = lines.collect();
            check_objects(&lines.expect("valid JSON"), segments);
        }
        Format::Csv => check_csv(written, segments),
        Format::Srt => check_cues(written, ','),
        Format::Vtt => check_cues(written, '.'),
        Format::Lrc => assert!(
            written
                .lines()
                .all(|line| line.starts_with('[') && line.contains(']'))
        ),
        _ => assert!(written.chars().all(|c| c == '\n' || !c.is_control())),
    }
}

fuzz_target!(|transcript: Transcript| {
    let mut spoken = transcript.spoken;
    // Sinks are given segments in the order of their starts.
    spoken.sort_by_key(|spoken| spoken.start);
    let segments: Vec<Segment> = spoken.iter().enumerate().map(segment).collect();
    let span = |&(a, b): &(u64, u64)| Span::new(Time::from_samples(a), Time::from_samples(b));
    let mut ending = Ending::default();
    ending.uncovered = transcript.uncovered.iter().map(span).collect();
    ending.language = transcript.language.clone();
    for format in Format::ALL {
        let written = written(format, &segments, &ending, &transcript.file);
        check(format, &written, &segments);
    }
});
