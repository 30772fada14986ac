//! Tests the output of each format, also with independent readers of SRT, WebVTT and CSV.

use proptest::collection::vec;
use proptest::prelude::*;

use super::cue::{CUE_MS_MAX, CUE_MS_MIN, words};
use super::*;
use crate::time::{Span, Time};
use crate::transcript::Token;

fn ms(ms: u64) -> Time {
    Time::from_samples(ms.saturating_mul(16))
}

fn segment(id: u64, start_ms: u64, end_ms: u64, text: &str) -> Segment {
    let mut segment = Segment::new(ms(start_ms), ms(end_ms), text);
    segment.id = id;
    segment
}

/// Writes a transcript and returns what a file of it holds.
fn written(format: Format, segments: &[Segment], ending: &Ending) -> String {
    let mut bytes = Vec::new();
    let mut sink = format.sink(&mut bytes, "a \"b\".wav");
    for segment in segments {
        sink.segment(segment).unwrap();
    }
    sink.finish(ending).unwrap();
    drop(sink);
    String::from_utf8(bytes).unwrap()
}

/// Two segments: one with everything that could disturb a format, one of 100 hours later.
fn two() -> Vec<Segment> {
    let mut first = segment(0, 500, 2_000, "One, \"two\"\n<b> & --> three");
    first.quality.confidence = Some(0.5);
    first.quality.avg_logprob = Some(-0.25);
    vec![first, segment(1, 360_000_000, 360_001_250, "[4] Ünï 漢字")]
}

fn check(format: Format, segments: &[Segment], expected: &str) {
    let ending = Ending {
        duration: ms(360_002_000),
        uncovered: vec![Span::new(ms(3_000), ms(4_500))],
        language: Some("en".into()),
        ..Ending::default()
    };
    assert_eq!(written(format, segments, &ending), expected, "{format}");
}

#[test]
fn text_is_a_line_for_each_segment() {
    check(
        Format::Text,
        &two(),
        "One, \"two\" <b> & --> three\n[4] Ünï 漢字\n",
    );
}

#[test]
fn srt_is_numbered_and_has_no_second_arrow() {
    let expected = "1\n00:00:00,500 --> 00:00:02,000\nOne, \"two\" ‹b> & → three\n\n\
                    2\n100:00:00,000 --> 100:00:01,250\n[4] Ünï 漢字\n\n";
    check(Format::Srt, &two(), expected);
}

#[test]
fn vtt_is_escaped() {
    let expected = "WEBVTT\n\n\
                    00:00:00.500 --> 00:00:02.000\nOne, \"two\" &lt;b&gt; &amp; --&gt; three\n\n\
                    100:00:00.000 --> 100:00:01.250\n[4] Ünï 漢字\n\n";
    check(Format::Vtt, &two(), expected);
}

#[test]
fn lrc_counts_minutes_and_hundredths() {
    let expected = "[00:00.50]One, \"two\" <b> & --> three\n[6000:00.00](4) Ünï 漢字\n";
    check(Format::Lrc, &two(), expected);
}

#[test]
fn csv_quotes_the_text() {
    let expected = "id,start_s,end_s,text,\
                    confidence,no_speech_prob,avg_logprob,compression_ratio,temperature\r\n\
                    0,0.5,2,\"One, \"\"two\"\"\n<b> & --> three\",0.5,,-0.25,,\r\n\
                    1,360000,360001.25,\"[4] Ünï 漢字\",,,,,\r\n";
    check(Format::Csv, &two(), expected);
}

#[test]
fn json_is_one_document_with_a_line_for_each_segment() {
    let mut segments = two();
    segments[1].tokens = vec![Token::new(7, "[4]", 0.75, ms(360_000_000), ms(360_000_500))];
    let expected = concat!(
        r#"{"file":"a \"b\".wav","segments":["#,
        "\n",
        r#"{"id":0,"start_s":0.5,"end_s":2.0,"text":"One, \"two\"\n<b> & --> three","#,
        r#""confidence":0.5,"#,
        r#""avg_logprob":-0.25,"tokens":[]},"#,
        "\n",
        r#"{"id":1,"start_s":360000.0,"end_s":360001.25,"text":"[4] Ünï 漢字","#,
        r#""tokens":[{"id":7,"text":"[4]","p":0.75,"start_s":360000.0,"end_s":360000.5}]}"#,
        "\n",
        r#"],"uncovered":[{"start_s":3.0,"end_s":4.5}],"language":"en","duration_s":360002.0}"#,
        "\n",
    );
    check(Format::Json, &segments, expected);
}

#[test]
fn jsonl_is_an_object_on_each_line() {
    let expected = concat!(
        r#"{"id":3,"start_s":0.0,"end_s":1.0,"text":"Hi.","tokens":[]}"#,
        "\n",
    );
    check(Format::JsonLines, &[segment(3, 0, 1_000, "Hi.")], expected);
}

#[test]
fn a_channel_is_written_where_there_is_one() {
    let mut second = segment(1, 1_000, 2_000, "Two.");
    second.channel = Some(1);
    let mut first = segment(0, 0, 1_000, "One.");
    first.channel = Some(0);
    let segments = [first, second];
    let csv = written(Format::Csv, &segments, &Ending::default());
    let ends: Vec<&str> = csv
        .lines()
        .map(|line| line.rsplit(',').next().unwrap())
        .collect();
    assert_eq!(ends, ["channel", "0", "1"]);
    let lines = written(Format::JsonLines, &segments, &Ending::default());
    let channels: Vec<_> = lines
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["channel"].clone())
        .collect();
    assert_eq!(channels, [0, 1]);
    for (format, expected) in [
        (Format::Text, "[0] One.\n[1] Two.\n"),
        (
            Format::Srt,
            "1\n00:00:00,000 --> 00:00:01,000\n[0] One.\n\n\
             2\n00:00:01,000 --> 00:00:02,000\n[1] Two.\n\n",
        ),
        (
            Format::Vtt,
            "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n<v channel 0>One.\n\n\
             00:00:01.000 --> 00:00:02.000\n<v channel 1>Two.\n\n",
        ),
        (Format::Lrc, "[00:00.00](0) One.\n[00:01.00](1) Two.\n"),
    ] {
        check(format, &segments, expected);
    }
}

/// One person speaks for 14 s, another answers meanwhile.
#[test]
fn subtitles_of_two_channels_start_when_they_are_spoken() {
    let mut long = segment(0, 0, 14_000, "one two three four five six");
    long.channel = Some(0);
    let mut answer = segment(1, 2_000, 3_000, "Yes.");
    answer.channel = Some(1);
    let expected = "1\n00:00:00,000 --> 00:00:07,000\n[0] one two three\n\n\
                    2\n00:00:02,000 --> 00:00:03,000\n[1] Yes.\n\n\
                    3\n00:00:07,000 --> 00:00:14,000\n[0] four five six\n\n";
    check(Format::Srt, &[long.clone(), answer.clone()], expected);
    // What is behind the time that was reached is written without waiting for the end.
    let mut bytes = Vec::new();
    let mut srt = Format::Srt.sink(&mut bytes, "talk.wav");
    srt.segment(&long).unwrap();
    srt.segment(&answer).unwrap();
    srt.reached(ms(8_000)).unwrap();
    drop(srt);
    assert_eq!(String::from_utf8(bytes).unwrap(), expected);
}

#[test]
fn a_transcript_without_segments_is_whole() {
    for (format, expected) in [
        (Format::Text, ""),
        (Format::Srt, ""),
        (Format::Vtt, "WEBVTT\n\n"),
        (Format::JsonLines, ""),
        (Format::Lrc, ""),
    ] {
        check(format, &[], expected);
    }
    let csv = written(Format::Csv, &[], &Ending::default());
    assert_eq!(csv.lines().count(), 1);
    let json: serde_json::Value =
        serde_json::from_str(&written(Format::Json, &[], &Ending::default())).unwrap();
    assert_eq!(json["segments"], serde_json::json!([]));
    assert_eq!(json["uncovered"], serde_json::json!([]));
}

#[test]
fn empty_text_is_no_line_and_no_cue() {
    for text in ["", " ", "\n\r\n", "\u{0}\u{7f}"] {
        let segments = [segment(0, 0, 1_000, text), segment(1, 1_000, 2_000, "Yes.")];
        check(Format::Text, &segments, "Yes.\n");
        check(Format::Lrc, &segments, "[00:01.00]Yes.\n");
        check(
            Format::Srt,
            &segments,
            "1\n00:00:01,000 --> 00:00:02,000\nYes.\n\n",
        );
    }
}

#[test]
fn every_segment_reaches_its_reader_at_once() {
    struct Reader {
        waiting: usize,
    }
    impl io::Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.waiting += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            self.waiting = 0;
            Ok(())
        }
    }
    for format in Format::ALL {
        let mut reader = Reader { waiting: 0 };
        let mut sink = format.sink(&mut reader, "talk.wav");
        sink.segment(&segment(0, 0, 1_000, "Hi.")).unwrap();
        drop(sink);
        assert_eq!(reader.waiting, 0, "{format}");
    }
}

#[test]
fn json_has_a_readable_prefix() {
    let mut prefix = Vec::new();
    let mut json = Format::Json.sink(&mut prefix, "talk.wav");
    json.segment(&segment(0, 0, 1_000, "One.")).unwrap();
    json.segment(&segment(1, 1_000, 2_000, "Two.")).unwrap();
    drop(json);
    prefix.extend(b"]}");
    let json: serde_json::Value = serde_json::from_slice(&prefix).unwrap();
    assert_eq!(json["segments"][1]["text"], "Two.");
}

#[test]
fn formats_are_found_by_extension() {
    for format in Format::ALL {
        assert_eq!(format.to_string().to_uppercase().parse(), Ok(format));
    }
    let unknown = "docx".parse::<Format>().unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "unknown format \"docx\"; expected one of txt, srt, vtt, json, jsonl, csv, lrc"
    );
}

/// A subtitle as a reader finds it: times in milliseconds, text with its lines.
type Read = (u64, u64, String);

/// Reads `hh:mm:ss` and thousandths.
fn read_clock(clock: &str, point: char) -> u64 {
    let (whole, thousandths) = clock.split_once(point).unwrap();
    let seconds = whole
        .split(':')
        .fold(0, |sum, part| sum * 60 + part.parse::<u64>().unwrap());
    assert_eq!(thousandths.len(), 3);
    seconds * 1_000 + thousandths.parse::<u64>().unwrap()
}

fn read_cue(lines: &[&str], point: char) -> Read {
    let (start, end) = lines[0].split_once(" --> ").unwrap();
    (
        read_clock(start, point),
        read_clock(end, point),
        lines[1..].join("\n"),
    )
}

fn read_srt(text: &str) -> Vec<Read> {
    let blocks = text.split("\n\n").filter(|block| !block.is_empty());
    blocks
        .enumerate()
        .map(|(n, block)| {
            let lines: Vec<&str> = block.split('\n').collect();
            assert_eq!(lines[0], (n + 1).to_string());
            read_cue(&lines[1..], ',')
        })
        .collect()
}

fn read_vtt(text: &str) -> Vec<Read> {
    let body = text.strip_prefix("WEBVTT\n\n").unwrap();
    let blocks = body.split("\n\n").filter(|block| !block.is_empty());
    let unescape = |text: String| {
        let text = match text.strip_prefix("<v channel ") {
            Some(voice) => voice.split_once('>').unwrap().1.to_owned(),
            None => text,
        };
        assert!(!text.contains(['<', '>']));
        text.replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&")
    };
    blocks
        .map(|block| read_cue(&block.split('\n').collect::<Vec<_>>(), '.'))
        .map(|(start, end, text)| (start, end, unescape(text)))
        .collect()
}

/// Reads records with quoted fields, character by character.
fn read_csv(text: &str) -> Vec<Vec<String>> {
    let (mut records, mut record, mut field) = (Vec::new(), Vec::new(), String::new());
    let (mut quoted, mut chars) = (false, text.chars().peekable());
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => field.extend(chars.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => record.push(std::mem::take(&mut field)),
            '\r' if !quoted => {
                assert_eq!(chars.next(), Some('\n'));
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            _ => field.push(c),
        }
    }
    assert!(record.is_empty() && field.is_empty() && !quoted);
    records
}

/// Checks the rules of subtitles, which hold for any segments.
fn check_cues(cues: &[Read]) {
    let mut last_start_ms = 0;
    for (start_ms, end_ms, text) in cues {
        assert!(*start_ms >= last_start_ms, "order at {start_ms}");
        assert!(
            (CUE_MS_MIN..=CUE_MS_MAX).contains(&(end_ms - start_ms)),
            "{start_ms} {end_ms}"
        );
        last_start_ms = *start_ms;
        let lines: Vec<&str> = text.split('\n').collect();
        assert!(lines.len() <= 2, "{text:?}");
        for line in lines {
            assert!(!line.is_empty() && !line.contains("  "), "{text:?}");
            assert!(
                super::cue::columns(line) <= super::cue::LINE_COLUMNS_MAX,
                "{line:?}"
            );
        }
    }
}

/// Returns all characters that every format keeps: no white space, no control characters.
fn visible<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    texts.flat_map(words).collect()
}

fn any_time() -> impl Strategy<Value = Time> {
    let samples = prop_oneof![0..16_000_u64 * 40, 0..16_000_u64 * 1_000_000, any::<u64>()];
    samples.prop_map(Time::from_samples)
}

fn any_text() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        4 => "[a-zé]{1,12}[.,;!?]?",
        1 => "\\PC{0,12}",
        1 => any::<String>(),
        1 => "[漢字、。]{1,60}",
        1 => prop::sample::select(vec![
            "-->", "\"", "\n", "\r\n\r\n", "&amp;", "[00:01.00]", "\u{301}\u{200d}",
        ])
        .prop_map(str::to_owned),
    ];
    vec(word, 0..30).prop_map(|words| words.join(" "))
}

prop_compose! {
    /// A segment whose tokens spell its text, or not, at any times.
    fn any_segment()(
        id in any::<u64>(),
        start in any_time(),
        length in any_time(),
        text in any_text(),
        times in vec((any_time(), any_time()), 0..40),
        spelled in any::<bool>(),
    ) -> Segment {
        let mut segment = Segment::new(start, start + length, text.clone());
        segment.id = id;
        let chars: Vec<char> = text.chars().collect();
        let even = chars.len().div_ceil(times.len().max(1)).max(1);
        let pieces = if spelled { even } else { 3 };
        let pieces = chars.chunks(pieces).map(String::from_iter);
        let token = |(text, &(from, to)): (String, &_)| Token::new(1, text, 0.5, from, to);
        segment.tokens = pieces.zip(&times).map(token).collect();
        segment
    }
}

proptest! {
    #[test]
    fn subtitles_keep_to_their_rules_and_lose_nothing(segments in vec(any_segment(), 0..6)) {
        let said = visible(segments.iter().map(|segment| segment.text.as_str()));
        let ending = Ending::default();
        let vtt = read_vtt(&written(Format::Vtt, &segments, &ending));
        check_cues(&vtt);
        prop_assert_eq!(visible(vtt.iter().map(|cue| cue.2.as_str())), said.clone());
        let srt = read_srt(&written(Format::Srt, &segments, &ending));
        check_cues(&srt);
        // Markup is written with look-alikes.
        let alike =
            |text: String| text.replace("-->", "→").replace('<', "‹").replace("{\\", "(\\");
        prop_assert_eq!(alike(visible(srt.iter().map(|cue| cue.2.as_str()))), alike(said.clone()));
        for (_, _, text) in &srt {
            let is_tag =
                |part: &str| part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
            let has_tag = text.split('<').skip(1).any(is_tag);
            prop_assert!(!has_tag && !text.contains("{\\"), "{}", text);
        }
        let text = written(Format::Text, &segments, &ending);
        prop_assert_eq!(visible(text.lines()), said.clone());
        let lrc = written(Format::Lrc, &segments, &ending);
        let lines = lrc.lines().map(|line| line.split_once(']').unwrap().1);
        let round = |text: String| text.replace('[', "(").replace(']', ")");
        prop_assert_eq!(round(visible(lines)), round(said));
    }

    #[test]
    fn channels_change_no_rule_and_lose_nothing(
        segments in vec((any_segment(), prop::option::of(0..40_u8)), 0..6),
    ) {
        let segments: Vec<Segment> = segments
            .into_iter()
            .map(|(segment, channel)| Segment { channel, ..segment })
            .collect();
        let ending = Ending::default();
        for cues in [
            read_srt(&written(Format::Srt, &segments, &ending)),
            read_vtt(&written(Format::Vtt, &segments, &ending)),
        ] {
            check_cues(&cues);
        }
        let sorted = |text: String| {
            let mut chars: Vec<char> = text.chars().collect();
            chars.sort_unstable();
            chars
        };
        let said = visible(segments.iter().map(|segment| segment.text.as_str()));
        let vtt = read_vtt(&written(Format::Vtt, &segments, &ending));
        prop_assert_eq!(sorted(visible(vtt.iter().map(|cue| cue.2.as_str()))), sorted(said));
    }

    #[test]
    fn tables_and_objects_give_back_what_was_written(segments in vec(any_segment(), 0..6)) {
        let ending = Ending { duration: ms(1_500), ..Ending::default() };
        let records = read_csv(&written(Format::Csv, &segments, &ending));
        prop_assert_eq!(records.len(), segments.len() + 1);
        let json = written(Format::Json, &segments, &ending);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(&json["duration_s"], 1.5);
        let lines = written(Format::JsonLines, &segments, &ending);
        let lines: Vec<serde_json::Value> =
            lines.split_terminator('\n').map(|line| serde_json::from_str(line).unwrap()).collect();
        prop_assert_eq!(json["segments"].as_array().unwrap(), &lines);
        prop_assert_eq!(lines.len(), segments.len());
        for ((segment, record), object) in segments.iter().zip(&records[1..]).zip(&lines) {
            prop_assert_eq!(record.len(), records[0].len());
            prop_assert_eq!(&record[3], &segment.text);
            prop_assert_eq!(record[1].parse::<f64>().unwrap(), segment.start.seconds());
            prop_assert_eq!(&object["text"], &segment.text);
            prop_assert_eq!(&object["id"], segment.id);
            prop_assert_eq!(object["tokens"].as_array().unwrap().len(), segment.tokens.len());
        }
    }
}
