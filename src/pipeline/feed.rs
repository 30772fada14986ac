//! The decoder's side: an input in, blocks of 16 kHz mono out.

use crossbeam_channel::{Receiver, Sender};

use super::progress::Progress;
use crate::cancel::Cancel;
use crate::config::Config;
use crate::decode::{DecodeStats, Decoder};
use crate::error::Error;
use crate::pool::{Block, Pool};
use crate::resample::Resampler;
use crate::source::Source;
use crate::time::Time;

/// Decodes an input into blocks until it ends, or until nobody takes them any more.
///
/// Returns how decoding went. A panic of a dependency is damage of the input: what was decoded before it stays.
///
/// # Errors
///
/// Those of [`Decoder::open`].
pub(super) fn feed(
    source: &mut dyn Source,
    config: &Config,
    pool: &Pool,
    cancel: &Cancel,
    progress: &Progress,
    (out, taker): (Sender<Block>, Receiver<()>),
) -> Result<DecodeStats, Error> {
    source.cancelled_by(cancel);
    let mut decoder = match Decoder::open(source) {
        // Whoever cancels before an input says what it is wants no answer to that.
        Err(_) if cancel.is_cancelled() => return Ok(DecodeStats::default()),
        opened => opened?,
    };
    progress.restart(decoder.info().byte_len);
    let mut blocks = Blocks::new(config, pool, cancel, out, taker);
    let mut resampler = Resampler::new();
    while !blocks.closed && !cancel.is_cancelled() {
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

/// Cuts a stream of samples to the range that is wanted and into blocks.
struct Blocks<'a> {
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
    fn new(
        config: &Config,
        pool: &'a Pool,
        cancel: &'a Cancel,
        out: Sender<Block>,
        taker: Receiver<()>,
    ) -> Self {
        let skip = config.start.samples();
        let wanted = config
            .duration
            .map_or(u64::MAX, |duration| duration.samples());
        Self {
            pool,
            cancel,
            out,
            taker,
            block: None,
            seen: Time::ZERO,
            skip,
            wanted,
            closed: wanted == 0,
        }
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
