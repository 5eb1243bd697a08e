//! The reader of the packed file data/places.bin, and its records. `data/build.py` writes the file and
//! documents its format.
//!
//! The input is not trusted: any bytes give either consistent records or a [`PackedError`].

use std::fmt;

use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;

/// Stored coordinates are integers in units of 1e-5 degrees, about a metre each.
pub const UNITS_PER_DEGREE: i32 = 100_000;

/// The reason to refuse a packed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackedError {
    /// The file is shorter than its header or has other magic bytes.
    NotPlaces,
    /// The file has an unknown version.
    Version(u32),
    /// The file has `found` bytes, and `expected` according to its header.
    Length { expected: usize, found: usize },
    /// The header has a body length, in bytes, above [`MAX_BODY_BYTES`].
    TooLarge(usize),
    /// The body does not inflate, or not to its length or checksum.
    Inflate,
    /// The named column is invalid.
    Column(&'static str),
}

impl fmt::Display for PackedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PackedError::NotPlaces => write!(f, "packed places: not a file of data/build.py"),
            PackedError::Version(found) => {
                write!(f, "packed places: expected version {VERSION}, got {found}")
            }
            PackedError::Length { expected, found } => {
                write!(f, "packed places: expected {expected} bytes, got {found}")
            }
            PackedError::TooLarge(bytes) => {
                write!(f, "packed places: expected a body of at most {MAX_BODY_BYTES} bytes, got {bytes}")
            }
            PackedError::Inflate => write!(f, "packed places: the body is damaged and does not inflate"),
            PackedError::Column(name) => write!(f, "packed places: the column of {name} is damaged"),
        }
    }
}

impl std::error::Error for PackedError {}

/// A point on the earth, in units of 1e-5 degrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// From -9,000,000, the south pole, to 9,000,000, the north pole.
    pub latitude_e5: i32,
    /// From -18,000,000 to 18,000,000; east is positive.
    pub longitude_e5: i32,
}

impl Position {
    /// The latitude in degrees.
    pub fn latitude_degrees(self) -> f64 {
        f64::from(self.latitude_e5) / f64::from(UNITS_PER_DEGREE)
    }

    /// The longitude in degrees.
    pub fn longitude_degrees(self) -> f64 {
        f64::from(self.longitude_e5) / f64::from(UNITS_PER_DEGREE)
    }
}

/// The kind of a place, with the fields of that kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceKind {
    /// A city, town, village or part of one.
    Locality {
        /// The GeoNames number.
        geonames: u32,
        /// The number of inhabitants; 0: unknown.
        population: u32,
    },
    /// An airport or air strip.
    Airport {
        /// The ICAO code: four printable characters.
        icao: [u8; 4],
        /// The IATA code, three capital letters; `None`: no airline sells tickets to it.
        iata: Option<[u8; 3]>,
    },
}

/// A place, without its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The name.
    pub name: &'a str,
    /// The region and country.
    pub vicinity: &'a str,
    /// The kind.
    pub kind: PlaceKind,
}

/// All places without their positions, column by column: localities by GeoNames number, then airports by ICAO
/// code.
pub struct PlaceRecords {
    names: StringColumn,
    regions: StringColumn,
    localities: usize,
    ids: Vec<u32>,
    region_of: Vec<u16>,
    weights: Vec<u32>,
}

impl PlaceRecords {
    /// The number of records.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// The record at `index`, from 0, in the order of the file.
    ///
    /// # Panics
    ///
    /// When `index` is not below [`PlaceRecords::len`].
    pub fn get(&self, index: usize) -> Place<'_> {
        let (id, weight) = (self.ids[index], self.weights[index]);
        let kind = if index < self.localities {
            PlaceKind::Locality { geonames: id, population: weight }
        } else {
            PlaceKind::Airport { icao: id.to_be_bytes(), iata: iata_code(weight) }
        };
        Place {
            name: self.names.get(index),
            vicinity: self.regions.get(usize::from(self.region_of[index])),
            kind,
        }
    }
}

/// Reads a packed file. Returns its records, and the position of each.
pub fn unpack(file: &[u8]) -> Result<(PlaceRecords, Vec<Position>), PackedError> {
    let (header, packed) = file.split_at_checked(HEADER_BYTES).ok_or(PackedError::NotPlaces)?;
    let (magic, mut numbers) = header.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(PackedError::NotPlaces);
    }
    // Never fails: the header has room for its five numbers.
    let mut number = || take_u32(&mut numbers).ok_or(PackedError::NotPlaces);
    let version = number()?;
    if version != VERSION {
        return Err(PackedError::Version(version));
    }
    let [localities, airports, body_bytes, packed_bytes] = [number()?, number()?, number()?, number()?];
    let [localities, airports] = [localities as usize, airports as usize];
    let [body_bytes, packed_bytes] = [body_bytes as usize, packed_bytes as usize];
    if packed.len() != packed_bytes {
        return Err(PackedError::Length {
            expected: HEADER_BYTES.saturating_add(packed_bytes),
            found: file.len(),
        });
    }
    if body_bytes > MAX_BODY_BYTES {
        return Err(PackedError::TooLarge(body_bytes));
    }
    let body = decompress_to_vec_zlib_with_limit(packed, body_bytes).map_err(|_| PackedError::Inflate)?;
    if body.len() != body_bytes {
        return Err(PackedError::Inflate);
    }
    read_body(&body, localities, airports)
}

fn read_body(
    mut body: &[u8],
    localities: usize,
    airports: usize,
) -> Result<(PlaceRecords, Vec<Position>), PackedError> {
    let regions =
        StringColumn::read(take_column(&mut body, "regions")?).ok_or(PackedError::Column("regions"))?;
    let names = StringColumn::read(take_column(&mut body, "names")?).ok_or(PackedError::Column("names"))?;
    // The counts of the header are trusted only now that there are as many names, so that a wrong header
    // cannot cause a large allocation.
    let count = names.len();
    if localities.checked_add(airports) != Some(count) {
        return Err(PackedError::Column("names"));
    }
    let counts = [localities, airports];

    let mut ids = Vec::with_capacity(count);
    let mut column = take_column(&mut body, "ids")?;
    for count in counts {
        let mut id: u32 = 0;
        for _ in 0..count {
            let step = take_number(&mut column).filter(|&step| step > 0);
            id = step.and_then(|step| id.checked_add(step)).ok_or(PackedError::Column("ids"))?;
            ids.push(id);
        }
    }
    end_column(column, "ids")?;
    if !ids[localities..].iter().all(|id| id.to_be_bytes().iter().all(u8::is_ascii_graphic)) {
        return Err(PackedError::Column("ids"));
    }

    let latitudes = take_column(&mut body, "latitudes")?;
    let latitudes = read_differences(latitudes, counts, -MAX_LATITUDE_E5..=MAX_LATITUDE_E5);
    let latitudes = latitudes.ok_or(PackedError::Column("latitudes"))?;
    let longitudes = take_column(&mut body, "longitudes")?;
    let longitudes = read_differences(longitudes, counts, -MAX_LONGITUDE_E5..=MAX_LONGITUDE_E5);
    let longitudes = longitudes.ok_or(PackedError::Column("longitudes"))?;
    let positions = latitudes.into_iter().zip(longitudes);
    let positions = positions.map(|(latitude_e5, longitude_e5)| Position { latitude_e5, longitude_e5 });

    // Indices of regions are stored as u16.
    let last_region = regions.len().checked_sub(1).and_then(|last| u16::try_from(last).ok());
    let last_region = last_region.ok_or(PackedError::Column("regions"))?;
    let region_of = take_column(&mut body, "region of")?;
    let region_of = read_differences(region_of, counts, 0..=i32::from(last_region));
    let region_of = region_of.ok_or(PackedError::Column("region of"))?;
    // Each fits: it is at most `last_region`, which came from a u16.
    let region_of = region_of.into_iter().map(|region| region as u16).collect();

    let mut column = take_column(&mut body, "weights")?;
    let weights = (0..count).map(|_| take_number(&mut column)).collect::<Option<Vec<u32>>>();
    let weights = weights.ok_or(PackedError::Column("weights"))?;
    end_column(column, "weights")?;
    if weights[localities..].iter().any(|&weight| weight > IATA_CODES) {
        return Err(PackedError::Column("weights"));
    }

    end_column(body, "weights")?;
    Ok((PlaceRecords { names, regions, localities, ids, region_of, weights }, positions.collect()))
}

/// A column of strings in one allocation. A `String` for each would take three words and an allocation.
struct StringColumn {
    text: Box<str>,
    /// The end of each string: the offset of its LF.
    ends: Vec<u32>,
}

impl StringColumn {
    /// `None`: the column is not UTF-8 or does not end with LF.
    fn read(column: &[u8]) -> Option<StringColumn> {
        let text = str::from_utf8(column).ok()?;
        if !text.is_empty() && !text.ends_with('\n') {
            return None;
        }
        // Offsets fit a u32: a column is shorter than MAX_BODY_BYTES.
        let ends = text.match_indices('\n').map(|(end, _)| end as u32).collect();
        Some(StringColumn { text: text.into(), ends })
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn get(&self, index: usize) -> &str {
        let start = if index == 0 { 0 } else { self.ends[index - 1] as usize + 1 };
        &self.text[start..self.ends[index] as usize]
    }
}

/// Takes the next column from `body`: its length, then its bytes.
fn take_column<'a>(body: &mut &'a [u8], name: &'static str) -> Result<&'a [u8], PackedError> {
    let length = take_u32(body).ok_or(PackedError::Column(name))? as usize;
    let (column, rest) = body.split_at_checked(length).ok_or(PackedError::Column(name))?;
    *body = rest;
    Ok(column)
}

fn end_column(rest: &[u8], name: &'static str) -> Result<(), PackedError> {
    if rest.is_empty() { Ok(()) } else { Err(PackedError::Column(name)) }
}

fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u32::from_le_bytes(*number))
}

/// Takes a LEB128 number of at most 32 bits.
fn take_number(bytes: &mut &[u8]) -> Option<u32> {
    let mut number: u32 = 0;
    for shift in (0..u32::BITS).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u32::from(byte & 0x7f);
        if bits.leading_zeros() < shift {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Reads a column of zigzag-coded differences; each kind of place begins at zero. `None`: a value is outside
/// of `bounds`, or the column is longer or shorter than its values.
fn read_differences(
    mut column: &[u8],
    counts: [usize; 2],
    bounds: std::ops::RangeInclusive<i32>,
) -> Option<Vec<i32>> {
    let mut values = Vec::with_capacity(counts.iter().sum());
    for count in counts {
        let mut value: i32 = 0;
        for _ in 0..count {
            let coded = take_number(&mut column)?;
            let difference = (coded >> 1) as i32 ^ -((coded & 1) as i32);
            value = value.checked_add(difference).filter(|value| bounds.contains(value))?;
            values.push(value);
        }
    }
    column.is_empty().then_some(values)
}

/// The IATA code encoded in the weight of an airport; 0: none.
fn iata_code(weight: u32) -> Option<[u8; 3]> {
    let number = weight.checked_sub(1)?;
    let letter = |number: u32| b'A' + (number % 26) as u8;
    Some([letter(number / (26 * 26)), letter(number / 26), letter(number)])
}

const MAGIC: &[u8; 8] = b"herdgaz\n";
const VERSION: u32 = 1;
/// Magic, version, two counts, two lengths.
const HEADER_BYTES: usize = MAGIC.len() + 5 * size_of::<u32>();
/// The greatest length of an inflated body, ten times that of the embedded file: a wrong header must not
/// cause an unbounded allocation.
const MAX_BODY_BYTES: usize = 64 << 20;
const MAX_LATITUDE_E5: i32 = 90 * UNITS_PER_DEGREE;
const MAX_LONGITUDE_E5: i32 = 180 * UNITS_PER_DEGREE;
/// The number of codes of three letters.
const IATA_CODES: u32 = 26 * 26 * 26;

#[cfg(test)]
pub mod tests {
    use super::*;
    use miniz_oxide::deflate::compress_to_vec_zlib;

    /// A body of two localities (7 "Bel Air", 9 "Café") and two airports (KLAX, XXXX).
    fn small_body() -> Vec<u8> {
        let zigzag = |number: i32| ((number << 1) ^ (number >> 31)) as u32;
        let numbers = |all: &[u32]| {
            let mut bytes = Vec::new();
            for &number in all {
                append_number(&mut bytes, number);
            }
            bytes
        };
        let (klax, xxxx) = (u32::from_be_bytes(*b"KLAX"), u32::from_be_bytes(*b"XXXX"));
        let lax = (11 * 26) * 26 + 23 + 1;
        let columns = [
            b"Nowhere\nCalifornia, United States\n".to_vec(),
            "Bel Air\nCafé\nLos Angeles International Airport\nA Strip\n".as_bytes().to_vec(),
            numbers(&[7, 2, klax, xxxx - klax]),
            numbers(&[3_408_333, -12_408_333, 3_394_249, -3_394_250].map(zigzag)),
            numbers(&[-11_844_778, 29_844_778, -11_840_800, -6_159_200].map(zigzag)),
            numbers(&[1, -1, 1, -1].map(zigzag)),
            numbers(&[8253, 0, lax, 0]),
        ];
        let mut body = Vec::new();
        for column in columns {
            body.extend((column.len() as u32).to_le_bytes());
            body.extend(column);
        }
        body
    }

    fn append_number(bytes: &mut Vec<u8>, mut number: u32) {
        while number >= 0x80 {
            bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
    }

    fn pack(body: &[u8], localities: u32, airports: u32) -> Vec<u8> {
        let packed = compress_to_vec_zlib(body, 6);
        let mut file = MAGIC.to_vec();
        for number in [VERSION, localities, airports, body.len() as u32, packed.len() as u32] {
            file.extend(number.to_le_bytes());
        }
        file.extend(packed);
        file
    }

    /// Returns a packed file of four places.
    pub fn small_file() -> Vec<u8> {
        pack(&small_body(), 2, 2)
    }

    #[test]
    fn every_column_is_read_as_packed() {
        let (records, positions) = unpack(&small_file()).unwrap();
        assert_eq!(records.len(), 4);
        let california = "California, United States";
        assert_eq!(
            records.get(0),
            Place {
                name: "Bel Air",
                vicinity: california,
                kind: PlaceKind::Locality { geonames: 7, population: 8253 },
            }
        );
        assert_eq!(
            records.get(1),
            Place {
                name: "Café",
                vicinity: "Nowhere",
                kind: PlaceKind::Locality { geonames: 9, population: 0 }
            }
        );
        assert_eq!(records.get(2).kind, PlaceKind::Airport { icao: *b"KLAX", iata: Some(*b"LAX") });
        assert_eq!(records.get(3).kind, PlaceKind::Airport { icao: *b"XXXX", iata: None });
        assert_eq!(positions[1], Position { latitude_e5: -9_000_000, longitude_e5: 18_000_000 });
        assert_eq!(positions[3], Position { latitude_e5: -1, longitude_e5: -18_000_000 });
    }

    #[test]
    fn every_truncation_is_refused() {
        let file = small_file();
        for length in 0..file.len() {
            assert!(unpack(&file[..length]).is_err(), "the first {length} bytes");
        }
        let mut longer = file.clone();
        longer.push(0);
        assert_eq!(
            unpack(&longer).err(),
            Some(PackedError::Length { expected: file.len(), found: file.len() + 1 })
        );
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let file = small_file();
        for bit in 0..file.len() * 8 {
            let mut damaged = file.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            match unpack(&damaged) {
                Err(_) => {}
                // The last bits of a deflate stream may be padding.
                Ok((records, _)) => assert_eq!(records.get(1).name, "Café", "bit {bit}"),
            }
        }
    }

    #[test]
    fn wrong_bytes_under_a_right_checksum_do_no_harm() {
        let body = small_body();
        for at in 0..body.len() {
            for value in [0, 1, 0x0a, 0x7f, 0x80, 0xff, body[at] ^ 1, body[at].wrapping_add(1)] {
                let mut wrong = body.clone();
                wrong[at] = value;
                if let Ok((records, positions)) = read_body(&wrong, 2, 2) {
                    assert_eq!(positions.len(), records.len());
                    for (index, position) in positions.iter().enumerate() {
                        assert!(records.get(index).name.len() < body.len());
                        assert!(position.latitude_e5.abs() <= MAX_LATITUDE_E5);
                        assert!(position.longitude_e5.abs() <= MAX_LONGITUDE_E5);
                    }
                }
            }
        }
        for length in 0..body.len() {
            assert!(read_body(&body[..length], 2, 2).is_err(), "the first {length} bytes");
        }
    }

    #[test]
    fn a_wrong_header_is_refused_with_a_reason() {
        let refused = |file: &[u8]| unpack(file).err().unwrap();
        assert_eq!(refused(b"PNG"), PackedError::NotPlaces);
        let mut file = small_file();
        file[MAGIC.len()] = 2;
        assert_eq!(refused(&file), PackedError::Version(2));
        assert_eq!(refused(&file).to_string(), "packed places: expected version 1, got 2");
        assert_eq!(refused(&pack(&small_body(), 1, 2)), PackedError::Column("names"));
        assert_eq!(refused(&pack(&small_body(), 3, 1)), PackedError::Column("ids"));
        assert_eq!(refused(&pack(&small_body(), u32::MAX, u32::MAX)), PackedError::Column("names"));
        let mut file = small_file();
        file[HEADER_BYTES - 5] = 0xff;
        assert!(matches!(refused(&file), PackedError::TooLarge(_)));
    }

    #[test]
    fn numbers_beyond_32_bits_are_refused() {
        let take = |mut bytes: &[u8]| take_number(&mut bytes);
        assert_eq!(take(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Some(u32::MAX));
        assert_eq!(take(&[0xff, 0xff, 0xff, 0xff, 0x1f]), None);
        assert_eq!(take(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x00]), None);
        assert_eq!(take(&[0x80]), None);
    }
}
