//! Audio files made in memory.

/// How samples are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sample {
    U8,
    S16,
    S24,
    S32,
    F32,
    F64,
    ALaw,
    MuLaw,
}

impl Sample {
    /// All of them.
    pub(crate) const ALL: [Self; 8] = [
        Self::U8,
        Self::S16,
        Self::S24,
        Self::S32,
        Self::F32,
        Self::F64,
        Self::ALaw,
        Self::MuLaw,
    ];

    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::ALaw | Self::MuLaw => 1,
            Self::S16 => 2,
            Self::S24 => 3,
            Self::S32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// The format's name in a wave file.
    fn tag(self) -> u16 {
        match self {
            Self::F32 | Self::F64 => 3,
            Self::ALaw => 6,
            Self::MuLaw => 7,
            _ => 1,
        }
    }

    /// Writes a sample with its lowest byte first.
    fn write(self, sample: f32, to: &mut Vec<u8>) {
        let scaled = |max: f64| (f64::from(sample) * max).round();
        match self {
            Self::U8 => to.push((scaled(127.0) + 128.0) as u8),
            Self::S16 => to.extend(((scaled(32_767.0)) as i16).to_le_bytes()),
            Self::S24 => to.extend(&((scaled(8_388_607.0)) as i32).to_le_bytes()[..3]),
            Self::S32 => to.extend(((scaled(2_147_483_647.0)) as i32).to_le_bytes()),
            Self::F32 => to.extend(sample.to_le_bytes()),
            Self::F64 => to.extend(f64::from(sample).to_le_bytes()),
            Self::ALaw => to.push(a_law((scaled(32_767.0)) as i16)),
            Self::MuLaw => to.push(mu_law((scaled(32_767.0)) as i16)),
        }
    }
}

/// Source: ITU-T G.711, table 1a.
fn a_law(sample: i16) -> u8 {
    let magnitude = i32::from(if sample < 0 { !sample } else { sample }) >> 4;
    let exponent = (32 - (magnitude >> 4).leading_zeros()).min(7);
    let mantissa = if exponent < 2 {
        magnitude
    } else {
        magnitude >> (exponent - 1)
    } & 15;
    let code = (exponent << 4) as u8 | mantissa as u8;
    (code | if sample < 0 { 0 } else { 0x80 }) ^ 0x55
}

/// Source: ITU-T G.711, table 2a.
fn mu_law(sample: i16) -> u8 {
    let magnitude = i32::from(sample).abs().min(32_635) + 132;
    let exponent = 24 - (magnitude as u32).leading_zeros();
    let mantissa = (magnitude >> (exponent + 3)) & 15;
    !((if sample < 0 { 0x80 } else { 0 }) | (exponent << 4) as u8 | mantissa as u8)
}

/// What a wave file holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wave {
    pub(crate) sample: Sample,
    pub(crate) rate_hz: u32,
    pub(crate) channels: u16,
}

impl Wave {
    /// A mono recording of 16 bits.
    pub(crate) fn mono(rate_hz: u32) -> Self {
        Self {
            sample: Sample::S16,
            rate_hz,
            channels: 1,
        }
    }

    /// Writes the same signal on every channel.
    pub(crate) fn data(&self, mono: &[f32]) -> Vec<u8> {
        let mut data = Vec::new();
        for sample in mono {
            for _ in 0..self.channels {
                self.sample.write(*sample, &mut data);
            }
        }
        data
    }

    /// The format chunk's content. Compressed forms have an extension of no length.
    pub(crate) fn format(&self) -> Vec<u8> {
        let block = self.channels * self.sample.bytes() as u16;
        let mut format = Vec::new();
        format.extend(self.sample.tag().to_le_bytes());
        format.extend(self.channels.to_le_bytes());
        format.extend(self.rate_hz.to_le_bytes());
        format.extend((self.rate_hz * u32::from(block)).to_le_bytes());
        format.extend(block.to_le_bytes());
        format.extend((self.sample.bytes() as u16 * 8).to_le_bytes());
        if self.sample.tag() > 3 {
            format.extend([0, 0]);
        }
        format
    }

    /// A RIFF file whose header declares `data_len` bytes of audio.
    pub(crate) fn riff_header(&self, data_len: u32) -> Vec<u8> {
        let chunks = [chunk(b"fmt ", &self.format()), b"data".to_vec()].concat();
        let riff_len = data_len.saturating_add(4 + chunks.len() as u32 + 4);
        [
            b"RIFF",
            &riff_len.to_le_bytes()[..],
            b"WAVE",
            &chunks,
            &data_len.to_le_bytes(),
        ]
        .concat()
    }

    /// A RIFF file.
    pub(crate) fn riff(&self, mono: &[f32]) -> Vec<u8> {
        let data = self.data(mono);
        [self.riff_header(data.len() as u32), data].concat()
    }

    /// The header of an RF64 or BW64 file.
    pub(crate) fn rf64_header(&self, name: &[u8; 4], data_len: u64) -> Vec<u8> {
        let frames = data_len / u64::from(self.channels) / self.sample.bytes() as u64;
        let sizes = [
            data_len.saturating_add(72).to_le_bytes(),
            data_len.to_le_bytes(),
            frames.to_le_bytes(),
        ];
        let sizes = [&sizes.concat()[..], &[0; 4]].concat();
        let unknown = u32::MAX.to_le_bytes();
        [
            name,
            &unknown[..],
            b"WAVE",
            &chunk(b"ds64", &sizes),
            &chunk(b"fmt ", &self.format()),
            b"data",
            &unknown,
        ]
        .concat()
    }

    /// The header of a Sony Wave64 file.
    pub(crate) fn wave64_header(&self, data_len: u64) -> Vec<u8> {
        const TAIL: &[u8] = b"\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a";
        let format = self.format();
        let padding = vec![0; (8 - format.len() % 8) % 8];
        let total = 40 + 24 + (format.len() + padding.len()) as u64 + 24 + data_len;
        [
            b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00",
            &total.to_le_bytes()[..],
            b"wave",
            TAIL,
            b"fmt ",
            TAIL,
            &(24 + format.len() as u64).to_le_bytes(),
            &format,
            &padding,
            b"data",
            TAIL,
            &(24 + data_len).to_le_bytes(),
        ]
        .concat()
    }

    /// An AIFF file of 16 or 24 bits, or an AIFF-C file of another kind.
    pub(crate) fn aiff(&self, mono: &[f32]) -> Vec<u8> {
        let mut data = self.data(mono);
        for sample in data.chunks_exact_mut(self.sample.bytes()) {
            sample.reverse();
        }
        let bits = self.sample.bytes() as u16 * 8;
        let mut common = self.channels.to_be_bytes().to_vec();
        common.extend((mono.len() as u32).to_be_bytes());
        common.extend(bits.to_be_bytes());
        common.extend(extended(self.rate_hz));
        let compression = match self.sample {
            Sample::F32 => Some(b"fl32"),
            Sample::F64 => Some(b"fl64"),
            Sample::ALaw => Some(b"alaw"),
            Sample::MuLaw => Some(b"ulaw"),
            _ => None,
        };
        let form = if let Some(name) = compression {
            common.extend(name);
            common.extend([0, 0]);
            b"AIFC"
        } else {
            b"AIFF"
        };
        let sound = [&[0; 8][..], &data].concat();
        let chunks = [big_chunk(b"COMM", &common), big_chunk(b"SSND", &sound)].concat();
        [
            b"FORM",
            &(chunks.len() as u32 + 4).to_be_bytes()[..],
            form,
            &chunks,
        ]
        .concat()
    }
}

/// A chunk with its length, lowest byte first.
pub(crate) fn chunk(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let padding = vec![0; content.len() % 2];
    [
        name,
        &(content.len() as u32).to_le_bytes()[..],
        content,
        &padding,
    ]
    .concat()
}

/// A chunk with its length, highest byte first.
pub(crate) fn big_chunk(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let padding = vec![0; content.len() % 2];
    [
        name,
        &(content.len() as u32).to_be_bytes()[..],
        content,
        &padding,
    ]
    .concat()
}

/// A box of an mp4 file.
pub(crate) fn mp4_box(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    [&(content.len() as u32 + 8).to_be_bytes()[..], name, content].concat()
}

/// A whole number as AIFF's 80-bit float. Source: IEEE 754, extended precision.
fn extended(value: u32) -> [u8; 10] {
    let shift = value.leading_zeros();
    let mut bytes = [0; 10];
    bytes[..2].copy_from_slice(&(16_383 + 31 - shift as u16).to_be_bytes());
    bytes[2..6].copy_from_slice(&(value << shift).to_be_bytes());
    bytes
}

/// The boxes of one level of an mp4 file: their names and where they start and end.
pub(crate) fn boxes(file: &[u8]) -> Vec<([u8; 4], std::ops::Range<usize>)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some([a, b, c, d, name @ ..]) = file.get(at..at + 8) {
        let len = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        found.push((name.try_into().unwrap(), at..at + len));
        at += len;
    }
    found
}

/// Splits an mp4 file before a box of the outermost level.
pub(crate) fn split_at_box<'a>(file: &'a [u8], name: &[u8; 4]) -> (&'a [u8], &'a [u8]) {
    let (_, range) = boxes(file)
        .into_iter()
        .find(|(found, _)| found == name)
        .unwrap();
    file.split_at(range.start)
}

/// Adds to every big-endian number of four bytes in a table.
fn shift_table(file: &mut [u8], table: &[u8; 4], by: u32) {
    let at = file.windows(4).position(|name| name == table).unwrap() + 4;
    let count = u32::from_be_bytes(file[at + 4..at + 8].try_into().unwrap()) as usize;
    for entry in file[at + 8..at + 8 + 4 * count].chunks_exact_mut(4) {
        let value = u32::from_be_bytes(entry.try_into().unwrap());
        entry.copy_from_slice(&(value + by).to_be_bytes());
    }
}

/// Moves the index of an mp4 file from behind the audio to before it.
pub(crate) fn index_first(file: &[u8]) -> Vec<u8> {
    let (head, index) = split_at_box(file, b"moov");
    let start = boxes(head)[0].1.end;
    let mut index = index.to_vec();
    let by = index.len() as u32;
    shift_table(&mut index, b"stco", by);
    [&head[..start], &index, &head[start..]].concat()
}

/// Repeats the fragments of an mp4 file, each time later by the length of all.
pub(crate) fn repeat_fragments(file: &[u8], times: u64) -> Vec<u8> {
    let level = boxes(file);
    let first = level
        .iter()
        .find(|(name, _)| name == b"moof")
        .unwrap()
        .1
        .start;
    let last = level
        .iter()
        .rfind(|(name, _)| name == b"mdat")
        .unwrap()
        .1
        .end;
    let mut repeated = file[..first].to_vec();
    // The encoder's delay is in each, so that the parts join without a seam in their stamps.
    let length = fragments_length(&file[first..last]);
    for time in 0..times {
        let mut fragments = file[first..last].to_vec();
        let names: Vec<_> = fragments
            .windows(4)
            .enumerate()
            .filter(|(_, n)| n == b"tfdt")
            .map(|(at, _)| at)
            .collect();
        for at in names {
            let field = at + 8..at + 16;
            let ticks = u64::from_be_bytes(fragments[field.clone()].try_into().unwrap());
            fragments[field].copy_from_slice(&(ticks + time * length).to_be_bytes());
        }
        repeated.extend(fragments);
    }
    repeated
}

/// The length of fragments in ticks, of files that give a length to each packet or one to all.
fn fragments_length(fragments: &[u8]) -> u64 {
    // The last one's start and 1,024 for each of its packets.
    let last_of = |name: &[u8; 4]| {
        fragments
            .windows(4)
            .rposition(|found| found == name)
            .unwrap()
    };
    let (last, run) = (last_of(b"tfdt"), last_of(b"trun"));
    let start = u64::from_be_bytes(fragments[last + 8..last + 16].try_into().unwrap());
    let packets = u32::from_be_bytes(fragments[run + 8..run + 12].try_into().unwrap());
    start + 1_024 * u64::from(packets)
}
