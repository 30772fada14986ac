//! The decoder's side: an input in, blocks of 16 kHz mono out.

use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError};

use super::progress::Progress;
use crate::cancel::Cancel;
use crate::config::Config;
use crate::decode::{DecodeStats, Decoder};
use crate::error::Error;
use crate::live::Live;
use crate::pool::{Block, Pool};
use crate::resample::Resampler;
use crate::source::Source;
use crate::time::Time;

/// Samples that are read of a live input at once: 0.1 s.
const LIVE_SAMPLES: usize = 1_600;

/// How long a live input may give nothing before what there is goes on, full block or not. Also how late a raised
/// [`Cancel`] may be seen.
const LIVE_PATIENCE: Duration = Duration::from_millis(100);

/// What is transcribed.
pub(super) enum Input<'a> {
    /// Bytes to decode.
    Encoded(&'a mut dyn Source),
    /// Samples as they are recorded.
    Live(&'a mut Live),
}

impl Input<'_> {
    /// Returns a name for messages.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Encoded(source) => source.name(),
            Self::Live(_) => "the live input".into(),
        }
    }
}

/// Decodes an input into blocks until it ends, or until nobody takes them any more.
///
/// Returns how decoding went. A panic of a dependency is damage of the input: what was decoded before it stays.
///
/// # Errors
///
/// Those of [`Decoder::open`].
pub(super) fn feed(
    input: Input<'_>,
    mut blocks: Blocks<'_>,
    channel: Option<u8>,
    progress: &Progress,
) -> Result<DecodeStats, Error> {
    match input {
        Input::Encoded(source) => decode(source, &mut blocks, channel, progress),
        Input::Live(live) => Ok(listen(live, &mut blocks, progress)),
    }
}

fn decode(
    source: &mut dyn Source,
    blocks: &mut Blocks<'_>,
    channel: Option<u8>,
    progress: &Progress,
) -> Result<DecodeStats, Error> {
    source.set_cancel(blocks.cancel);
    let mut decoder = match Decoder::open(source) {
        // Whoever cancels before an input says what it is wants no answer to that.
        Err(_) if blocks.cancel.is_cancelled() => return Ok(DecodeStats::default()),
        opened => opened?,
    };
    progress.restart(decoder.info().byte_len);
    let mut resampler = match channel {
        Some(channel) => Resampler::of_channel(channel.into()),
        None => Resampler::new(),
    };
    while !blocks.is_closed() {
        let Some(chunk) = decoder.next()? else { break };
        resampler.push(chunk.format, chunk.samples, &mut |samples| {
            blocks.write(samples)
        });
        progress.read(decoder.position_bytes(), blocks.seen);
    }
    resampler.finish(&mut |samples| blocks.write(samples));
    blocks.flush();
    Ok(decoder.stats().clone())
}

/// Reads a live input until it ends. What was dropped of it by then is its damage.
fn listen(live: &mut Live, blocks: &mut Blocks<'_>, progress: &Progress) -> DecodeStats {
    progress.restart(None);
    let mut samples = [0.0; LIVE_SAMPLES];
    while !blocks.is_closed() {
        match live.read(&mut samples, LIVE_PATIENCE) {
            Some(0) if blocks.is_unread() => break,
            // A device that is silent gives nothing; what was said before must not wait for a block to fill.
            Some(0) => blocks.flush(),
            Some(count) => blocks.write(&samples[..count]),
            None => break,
        }
        progress.read(0, blocks.seen);
    }
    blocks.flush();
    DecodeStats {
        damage: live.watch().dropped(),
        ..DecodeStats::default()
    }
}

/// Cuts a stream of samples to the range that is wanted and into blocks.
pub(super) struct Blocks<'a> {
    pool: &'a Pool,
    cancel: &'a Cancel,
    out: Sender<Block>,
    /// Disconnects when nobody takes blocks any more.
    taker: Receiver<()>,
    block: Option<Block>,
    /// How much was written so far, left out or not.
    seen: Time,
    /// Samples to leave out before the first.
    skip: u64,
    /// Samples that are wanted after those.
    wanted: u64,
    /// Cancelled, read to the end of what is wanted, or nobody takes blocks any more.
    closed: bool,
}

impl<'a> Blocks<'a> {
    /// Begins at `from` on the input's time line.
    pub(super) fn new(
        from: Time,
        config: &Config,
        pool: &'a Pool,
        cancel: &'a Cancel,
        (out, taker): (Sender<Block>, Receiver<()>),
    ) -> Self {
        let skip = (config.start - from).samples();
        let wanted = config
            .duration
            .map_or(u64::MAX, |duration| duration.samples());
        Self {
            pool,
            cancel,
            out,
            taker,
            block: None,
            seen: from,
            skip,
            wanted,
            closed: wanted == 0,
        }
    }

    /// Returns whether nobody takes blocks any more. A write finds out by itself.
    fn is_unread(&self) -> bool {
        matches!(self.taker.try_recv(), Err(TryRecvError::Disconnected))
    }

    /// Returns whether nothing more is to be written.
    fn is_closed(&self) -> bool {
        self.closed || self.cancel.is_cancelled()
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "bounded by a slice's length"
    )]
    fn write(&mut self, samples: &[f32]) {
        self.seen += Time::from_samples(samples.len() as u64);
        let skipped = self.skip.min(samples.len() as u64);
        self.skip -= skipped;
        let mut samples = &samples[skipped as usize..];
        samples = &samples[..self.wanted.min(samples.len() as u64) as usize];
        self.wanted -= samples.len() as u64;
        while !samples.is_empty() && !self.closed {
            let mut block = match self.block.take() {
                Some(block) => block,
                None => match self.pool.acquire(self.cancel, &self.taker) {
                    Ok(block) => block,
                    Err(_) => {
                        self.closed = true;
                        return;
                    }
                },
            };
            let taken = block.fill(samples);
            samples = &samples[taken..];
            let full = block.is_full();
            self.block = Some(block);
            if full {
                self.flush();
            }
        }
        self.closed |= self.wanted == 0;
    }

    fn flush(&mut self) {
        if let Some(block) = self.block.take() {
            self.closed |= self.out.send(block).is_err();
        }
    }
}
