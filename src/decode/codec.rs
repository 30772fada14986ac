//! Decodes packets to frames: one codec of one track.

use std::sync::OnceLock;

use symphonia::core::audio::GenericAudioBufferRef;
use symphonia::core::codecs::audio::well_known::{
    CODEC_ID_AAC, CODEC_ID_AC3, CODEC_ID_DCA, CODEC_ID_EAC3, CODEC_ID_MUSEPACK, CODEC_ID_OPUS,
    CODEC_ID_SPEEX, CODEC_ID_TRUEHD, CODEC_ID_TTA, CODEC_ID_VORBIS, CODEC_ID_WAVPACK,
};
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::codecs::registry::CodecRegistry;
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::packet::Packet;
use symphonia::core::units::Duration;

use super::fault::{Fault, guard};
use crate::audio::SAMPLE_RATE_HZ;

/// Signal changes in a row after which an MPEG decoder is replaced. A single one is more often a
/// damaged header than a change: a frame that claims 12 kHz mono was seen.
const SIGNAL_CHANGES_MIN: u32 = 2;

/// The MPEG audio decoder's error for every packet whose rate or channels differ from its first's.
const SIGNAL_CHANGE: &str = "mpa: invalid audio buffer signal spec for packet";

/// The rate at which Opus is decoded: the pipeline's, one of the five that every decoder offers.
/// What lies above is not synthesized, which saves a fifth to a quarter of the time of decoding at
/// 48 kHz and resampling. Source: RFC 6716, section 4.
pub(super) const OPUS_RATE_HZ: u32 = SAMPLE_RATE_HZ;

/// A decoder, and the parameters from which it can be replaced.
pub(super) struct Codec {
    params: AudioCodecParameters,
    decoder: Box<dyn AudioDecoder>,
    signal_changes: u32,
}

impl Codec {
    /// Makes the decoder of a track.
    pub(super) fn new(mut params: AudioCodecParameters) -> Result<Self, Fault> {
        match params.codec {
            CODEC_ID_AAC => params.extra_data = params.extra_data.take().map(core_config),
            // The adapter would cut the pre-skip that this data declares, and misreads its byte
            // order in mp4. The time line cuts it, like every other delay.
            CODEC_ID_OPUS => {
                params.extra_data = None;
                // Headers give the rate of the encoder's input, which the decoder does not need.
                params.sample_rate = Some(OPUS_RATE_HZ);
            }
            _ => {}
        }
        let decoder = guard(|| make_decoder(&params)).map_err(|fault| match fault {
            Fault::Unsupported(what) => Fault::Unsupported(name_unsupported(&params, what)),
            fault => fault,
        })?;
        Ok(Self {
            params,
            decoder,
            signal_changes: 0,
        })
    }

    /// Returns the parameters, as the decoder read them from the codec's configuration.
    pub(super) fn params(&self) -> &AudioCodecParameters {
        self.decoder.codec_params()
    }

    /// Returns the codec's name.
    pub(super) fn name(&self) -> &'static str {
        self.decoder.codec_info().short_name
    }

    /// Decodes a packet. An error concerns this packet alone.
    pub(super) fn decode(
        &mut self,
        packet: &mut Packet,
    ) -> Result<GenericAudioBufferRef<'_>, Fault> {
        // The time line cuts delays and paddings. Containers' counts of frames are wrong (a joined
        // MP3 would end with its first part), and some decoders cut whatever their options say.
        packet.trim_start = Duration::ZERO;
        packet.trim_end = Duration::ZERO;
        match self.try_decode(packet) {
            Ok(()) => self.signal_changes = 0,
            Err(Fault::Damaged(what)) if what.contains(SIGNAL_CHANGE) => {
                self.signal_changes += 1;
                if self.signal_changes < SIGNAL_CHANGES_MIN {
                    return Err(Fault::Damaged(what));
                }
                self.replace_decoder()?;
                self.try_decode(packet)?;
            }
            Err(Fault::Panicked) => {
                // The decoder's state is unknown.
                self.replace_decoder()?;
                return Err(Fault::Panicked);
            }
            Err(fault) => return Err(fault),
        }
        Ok(self.decoder.last_decoded())
    }

    fn try_decode(&mut self, packet: &Packet) -> Result<(), Fault> {
        guard(|| self.decoder.decode(packet).map(|_| ()))
    }

    /// Makes a new decoder, which knows nothing of earlier packets.
    fn replace_decoder(&mut self) -> Result<(), Fault> {
        self.decoder = guard(|| make_decoder(&self.params))?;
        self.signal_changes = 0;
        Ok(())
    }
}

fn make_decoder(params: &AudioCodecParameters) -> Result<Box<dyn AudioDecoder>, SymphoniaError> {
    static REGISTRY: OnceLock<CodecRegistry> = OnceLock::new();
    let registry = REGISTRY.get_or_init(|| {
        let mut registry = CodecRegistry::new();
        symphonia::default::register_enabled_codecs(&mut registry);
        registry.register_audio_decoder::<symphonia_adapter_libopus::OpusDecoder>();
        registry
    });
    // The first Vorbis block overlaps nothing and decodes to noise. "Gapless" drops it.
    let gapless = params.codec == CODEC_ID_VORBIS;
    registry.make_audio_decoder(params, &AudioDecoderOptions::default().gapless(gapless))
}

/// Names a codec that is not supported, for messages.
fn name_unsupported(params: &AudioCodecParameters, what: String) -> String {
    let channels = params
        .channels
        .as_ref()
        .map_or(0, |channels| channels.count());
    match params.codec {
        CODEC_ID_AAC if channels > 2 => format!("AAC of {channels} channels"),
        CODEC_ID_AAC => format!("this kind of AAC ({what})"),
        CODEC_ID_OPUS if channels > 2 => format!("Opus of {channels} channels"),
        CODEC_ID_AC3 => "AC-3".into(),
        CODEC_ID_EAC3 => "E-AC-3".into(),
        CODEC_ID_DCA => "DTS".into(),
        CODEC_ID_TRUEHD => "Dolby TrueHD".into(),
        CODEC_ID_WAVPACK => "WavPack".into(),
        CODEC_ID_SPEEX => "Speex".into(),
        CODEC_ID_MUSEPACK => "Musepack".into(),
        CODEC_ID_TTA => "True Audio (TTA)".into(),
        _ => what,
    }
}

/// Rewrites an AAC configuration that announces HE-AAC (SBR, with or without PS) to that of its
/// low-complexity core, which every packet carries and which decodes alone at half the rate. Other
/// configurations are returned unchanged.
///
/// Source: ISO/IEC 14496-3, 1.6.2.1, `AudioSpecificConfig`.
fn core_config(config: Box<[u8]>) -> Box<[u8]> {
    const SBR: u8 = 5;
    const PS: u8 = 29;
    const LOW_COMPLEXITY: u8 = 2;
    let [first, second, ..] = *config else {
        return config;
    };
    let (object_type, rate_index) = (first >> 3, (first & 7) << 1 | second >> 7);
    // Index 15 means that the rate follows in 24 bits. No encoder of HE-AAC was seen to do so.
    if ![SBR, PS].contains(&object_type) || rate_index == 15 {
        return config;
    }
    let channels = second >> 3 & 15;
    Box::new([
        LOW_COMPLEXITY << 3 | rate_index >> 1,
        rate_index << 7 | channels << 3,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announced_he_aac_becomes_its_core() {
        // Object type 5, 24 kHz core (index 6), two channels, 48 kHz extension (index 3), object
        // type 2.
        let he_aac = [0b0010_1011, 0b0001_0001, 0b1000_1000];
        assert_eq!(*core_config(Box::new(he_aac)), [0b0001_0011, 0b0001_0000]);
    }

    #[test]
    fn other_configurations_are_kept() {
        for config in [
            &[][..],
            &[0x11],
            &[0x11, 0x90],
            &[0x12, 0x10, 0x56, 0xe5, 0x00],
        ] {
            assert_eq!(*core_config(config.into()), *config);
        }
    }
}
