//! The model's tokens: which are special, which are never sampled, which text they stand for.

use whisper_rs::WhisperContext;

/// Symbols that nobody speaks, as OpenAI's tokenizer lists them. A token that consists of one of
/// them, with or without a space before it, is never sampled.
///
/// Source: openai/whisper, `whisper/tokenizer.py`, `non_speech_tokens`.
const SYMBOLS: [&str; 52] = [
    "\"",
    "#",
    "(",
    ")",
    "*",
    "+",
    "/",
    ":",
    ";",
    "<",
    "=",
    ">",
    "@",
    "[",
    "\\",
    "]",
    "^",
    "_",
    "`",
    "{",
    "|",
    "}",
    "~",
    "「",
    "」",
    "『",
    "』",
    "<<",
    ">>",
    "<<<",
    ">>>",
    "--",
    "---",
    "-(",
    "-[",
    "('",
    "(\"",
    "((",
    "))",
    "(((",
    ")))",
    "[[",
    "]]",
    "{{",
    "}}",
    "♪♪",
    "♪♪♪",
    "♩",
    "♪",
    "♫",
    "♬",
    "♭",
];

/// First two bytes of the musical notes U+2669 to U+266F, which are a token of their own.
const NOTE_PREFIX: [u8; 2] = [0xE2, 0x99];

/// Special tokens and tokens that are never sampled.
#[derive(Debug)]
pub(super) struct Vocabulary {
    pub(super) size: usize,
    pub(super) end: u32,
    pub(super) start: u32,
    pub(super) previous: u32,
    pub(super) no_speech: u32,
    pub(super) no_timestamps: u32,
    pub(super) transcribe: u32,
    pub(super) translate: u32,
    /// The timestamp of 0.00 s; 1,500 more follow in steps of 20 ms.
    pub(super) time_zero: u32,
    /// First language token and number of languages; none in an English-only model.
    pub(super) languages: Option<(u32, u32)>,
    /// Never sampled.
    pub(super) suppressed: Vec<u32>,
    /// Never sampled as the first token: a lone space, and the end.
    pub(super) blank: Vec<u32>,
}

impl Vocabulary {
    pub(super) fn of(context: &WhisperContext) -> Self {
        let id = |token: i32| u32::try_from(token).unwrap_or_default();
        let end = id(context.token_eot());
        let start = id(context.token_sot());
        let languages = context.is_multilingual().then(|| {
            let first = start + 1;
            (first, id(context.token_translate()).saturating_sub(first))
        });
        let mut vocabulary = Self {
            size: id(context.n_vocab()) as usize,
            end,
            start,
            previous: id(context.token_prev()),
            no_speech: id(context.token_nosp()),
            no_timestamps: id(context.token_not()),
            transcribe: id(context.token_transcribe()),
            translate: id(context.token_translate()),
            time_zero: id(context.token_beg()),
            languages,
            suppressed: Vec::new(),
            blank: vec![end],
        };
        for token in 0..end {
            match bytes(context, token) {
                b" " => vocabulary.blank.push(token),
                text if is_unspoken(text) => vocabulary.suppressed.push(token),
                _ => {}
            }
        }
        vocabulary.suppressed.extend([
            start,
            vocabulary.previous,
            id(context.token_solm()),
            vocabulary.no_speech,
            vocabulary.transcribe,
            vocabulary.translate,
        ]);
        if let Some((first, count)) = languages {
            vocabulary.suppressed.extend(first..first + count);
        }
        vocabulary
    }

    /// Returns whether a token stands for a time.
    pub(super) fn is_time(&self, token: u32) -> bool {
        token >= self.time_zero
    }

    /// Returns whether a token stands for text.
    pub(super) fn is_text(&self, token: u32) -> bool {
        token < self.end
    }
}

/// Returns the bytes that a token stands for; several tokens can share a character.
pub(super) fn bytes(context: &WhisperContext, token: u32) -> &[u8] {
    i32::try_from(token)
        .ok()
        .and_then(|token| context.token_to_bytes(token).ok())
        .unwrap_or(&[])
}

fn is_unspoken(text: &[u8]) -> bool {
    let bare = text.strip_prefix(b" ").unwrap_or(text);
    // A dash or an apostrophe belongs to a word ("twenty-one", "it's"), unless it follows a space.
    matches!(text, b" -" | b" '")
        || bare == NOTE_PREFIX
        || SYMBOLS.iter().any(|symbol| symbol.as_bytes() == bare)
}
