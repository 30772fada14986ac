//! The decoder's thread: an input in, blocks of 16 kHz mono out.

use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError};

use super::progress::Progress;
use crate::cancel::Cancel;
use crate::config::InputOptions;
use crate::decode::{DecodeStats, Decoder};
use crate::error::InputError;
use crate::live::{Live, Watch};
use crate::pool::{Block, Pool};
use crate::resample::Resampler;
use crate::source::Source;
use crate::time::{Span, Time};

/// Samples that are read of a live input at once: 0.1 s.
const LIVE_SAMPLES: usize = 1_600;

/// Idle time after which a partial block is flushed. Also how late a raised [`Cancel`] may be
/// noticed.
const LIVE_PATIENCE: Duration = Duration::from_millis(100);

/// What is transcribed.
pub(super) enum Input<'a> {
    /// Bytes to decode.
    Encoded(&'a mut dyn Source),
    /// Samples as they are recorded.
    Live(&'a mut Live),
}

impl Input<'_> {
    /// Begins a transcription. Returns where on the time line it starts: for a live input, behind
    /// what was committed before.
    pub(super) fn begin(&mut self) -> Time {
        match self {
            Self::Encoded(_) => Time::ZERO,
            Self::Live(live) => live.begin(),
        }
    }

    /// Returns the handle of an input that is live.
    pub(super) fn watch(&self) -> Option<Watch> {
        match self {
            Self::Encoded(_) => None,
            Self::Live(live) => Some(live.watch()),
        }
    }

    /// Returns a name for messages.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Encoded(source) => source.name(),
            Self::Live(_) => "the live input".into(),
        }
    }
}

/// A block that is full, or the last one before a pause of a live input.
pub(super) struct SealedBlock {
    pub(super) block: Block,
    /// Checksum of everything that was read of the input when the block was sealed.
    pub(super) checksum: u32,
}

/// Decodes an input into blocks until it ends, or until nobody takes them any more.
///
/// Returns how decoding went.
///
/// # Errors
///
/// Those of [`Decoder::open`].
pub(super) fn decode(
    input: Input<'_>,
    mut blocks: BlockWriter<'_>,
    channel: Option<u8>,
    progress: &Progress,
) -> Result<DecodeStats, InputError> {
    match input {
        Input::Encoded(source) => decode_source(source, &mut blocks, channel, progress),
        Input::Live(live) => Ok(read_live(live, &mut blocks, progress)),
    }
}

fn decode_source(
    source: &mut dyn Source,
    blocks: &mut BlockWriter<'_>,
    channel: Option<u8>,
    progress: &Progress,
) -> Result<DecodeStats, InputError> {
    source.set_cancel(blocks.cancel);
    let mut decoder = match Decoder::open(source) {
        // If cancelled while probing, the probe's error is irrelevant.
        Err(_) if blocks.cancel.is_cancelled() => return Ok(DecodeStats::default()),
        opened => opened?,
    };
    progress.restart(decoder.info().byte_len);
    let mut resampler = match channel {
        Some(channel) => Resampler::of_channel(channel.into()),
        None => Resampler::new(),
    };
    while !blocks.is_closed() {
        let checksum = decoder.checksum();
        let Some(chunk) = decoder.next()? else { break };
        resampler.push(chunk.format, chunk.samples, &mut |samples| {
            blocks.write(samples, checksum);
        });
        progress.read(decoder.position_bytes(), blocks.written_to);
    }
    let checksum = blocks.checksum;
    resampler.finish(&mut |samples| blocks.write(samples, checksum));
    blocks.flush();
    Ok(decoder.stats().clone())
}

/// Reads a live input until it ends. Audio that was dropped by then is its damage.
fn read_live(live: &mut Live, blocks: &mut BlockWriter<'_>, progress: &Progress) -> DecodeStats {
    progress.restart(None);
    let mut samples = [0.0; LIVE_SAMPLES];
    while !blocks.is_closed() {
        match live.read(&mut samples, LIVE_PATIENCE) {
            Some(0) if blocks.is_unread() => break,
            // A device that is silent pushes nothing; what was said before must not wait for a
            // block to fill.
            Some(0) => blocks.flush(),
            Some(count) => blocks.write(&samples[..count], 0),
            None => break,
        }
        if blocks.written_to <= blocks.wanted.start {
            // Nobody transcribes what lies before the start, so nobody else commits it.
            live.watch().commit(blocks.written_to);
        }
        progress.read(0, blocks.written_to);
    }
    blocks.flush();
    DecodeStats {
        damage: live.watch().dropped(),
        ..DecodeStats::default()
    }
}

/// Cuts a stream of samples to the range that is wanted and into blocks.
pub(super) struct BlockWriter<'a> {
    pool: &'a Pool,
    cancel: &'a Cancel,
    out: Sender<SealedBlock>,
    /// Disconnects when nobody takes blocks any more.
    taker: Receiver<()>,
    block: Option<Block>,
    checksum: u32,
    /// How much of the time line was written so far, left out or not.
    written_to: Time,
    /// The range that is wanted.
    wanted: Span,
    /// Cancelled, read to the end of what is wanted, or nobody takes blocks any more.
    is_closed: bool,
}

impl<'a> BlockWriter<'a> {
    /// Begins at `from` on the input's time line.
    pub(super) fn new(
        from: Time,
        options: &InputOptions,
        pool: &'a Pool,
        cancel: &'a Cancel,
        (out, taker): (Sender<SealedBlock>, Receiver<()>),
    ) -> Self {
        let wanted = options.span();
        Self {
            pool,
            cancel,
            out,
            taker,
            block: None,
            checksum: 0,
            written_to: from,
            wanted,
            is_closed: from >= wanted.end,
        }
    }

    /// Returns whether nobody takes blocks any more. A write finds out by itself.
    fn is_unread(&self) -> bool {
        matches!(self.taker.try_recv(), Err(TryRecvError::Disconnected))
    }

    /// Returns whether nothing more is to be written.
    fn is_closed(&self) -> bool {
        self.is_closed || self.cancel.is_cancelled()
    }

    /// Writes samples that were decoded when the input had this checksum.
    fn write(&mut self, samples: &[f32], checksum: u32) {
        self.checksum = checksum;
        let from = self.written_to;
        self.written_to += Time::from_samples(samples.len() as u64);
        let wanted = Span::new(from, self.written_to).overlap(self.wanted);
        let first = wanted.start.samples_since(from).min(samples.len());
        let mut samples = &samples[first..][..wanted.length().samples_since(Time::ZERO)];
        while !samples.is_empty() && !self.is_closed {
            let Some(mut block) = self.block.take().or_else(|| self.acquire()) else {
                return;
            };
            let taken = block.fill(samples);
            samples = &samples[taken..];
            let is_full = block.is_full();
            self.block = Some(block);
            if is_full {
                self.flush();
            }
        }
        self.is_closed |= self.written_to >= self.wanted.end;
    }

    /// Takes a block from the pool; `None` if nobody wants more.
    fn acquire(&mut self) -> Option<Block> {
        let block = self.pool.acquire(self.cancel, &self.taker).ok();
        self.is_closed |= block.is_none();
        block
    }

    /// Sends the block that is being filled.
    fn flush(&mut self) {
        if let Some(block) = self.block.take() {
            let sealed = SealedBlock {
                block,
                checksum: self.checksum,
            };
            self.is_closed |= self.out.send(sealed).is_err();
        }
    }
}
