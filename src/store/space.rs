//! The index of the records by location: cells of the sphere, each with a page of records. It knows keys and
//! paths, and parses a line only to divide a page.
//!
//! A record's *path* is the key of its location ([`Key`]), then its index, so that no two are equal. The paths
//! are in a binary trie. A node has the common beginning of all paths below it and one link for each next bit;
//! a page has up to [`SLOTS`] records whose paths begin alike. A page that overflows is divided in two; a small
//! one is merged with its neighbour. So a cell is as small as the place is crowded, and clients at one spot,
//! however many, are divided by their indices.
//!
//! A record has the number of its page and its slot in it. A client that moves within its cell costs two bytes
//! written, and any other change a descent of at most 96 nodes, one for each bit of a path, and the records
//! of a page.

use super::arena::Arena;
use super::chunks::Chunks;
use super::path::{FINE_BITS, KEY_BITS, Path};
use super::record::Record;
use crate::geo::{Cell, Key};
use crate::text::location::Location;

/// The index.
#[derive(Debug)]
pub(super) struct Space {
    pub(super) root: Option<Link>,
    pub(super) nodes: Chunks<Node, NODES_OF_CHUNK>,
    pub(super) pages: Chunks<Page, PAGES_OF_CHUNK>,
    vacant_node: Option<u32>,
    vacant_page: Option<u32>,
    /// Counts the changes of nodes and of the cells of pages.
    pub(super) version: u64,
}

/// The page of a record and its slot in it, or [`Place::NOWHERE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(u32);

impl Place {
    /// The place of a record that is not in the index.
    pub(super) const NOWHERE: Place = Place(u32::MAX);

    fn of(page: u32, slot: usize) -> Place {
        Place(page * SLOTS as u32 + slot as u32)
    }

    fn page(self) -> u32 {
        self.0 / SLOTS as u32
    }

    fn slot(self) -> usize {
        self.0 as usize % SLOTS
    }
}

/// A node or a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link(u32);

/// What a link leads to: the number of a node or of a page.
pub(super) enum Target {
    Node(u32),
    Page(u32),
}

impl Link {
    fn node(number: u32) -> Link {
        Link(number)
    }

    fn page(number: u32) -> Link {
        Link(number | PAGE)
    }

    pub(super) fn target(self) -> Target {
        if self.0 & PAGE == 0 { Target::Node(self.0) } else { Target::Page(self.0 & !PAGE) }
    }
}

/// An inner node of the trie. All paths below it begin with the first `bits` bits of `prefix`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    prefix: [u32; 3],
    pub(super) bits: u32,
    /// The node above it, or [`NONE`]; of a vacant node, the next vacant one.
    parent: u32,
    /// By the bit after the first `bits` bits.
    pub(super) children: [Link; 2],
}

impl Node {
    pub(super) fn path(&self) -> Path {
        Path::of_words(self.prefix)
    }
}

/// A page: the records whose paths begin with the first `bits` bits of `prefix`, and follow the links down to
/// here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    prefix: [u32; 3],
    /// The node above it, or [`NONE`]; of a vacant page, the next vacant one.
    parent: u32,
    bits: u8,
    /// The first so many bits of each `fine` are known.
    known: u8,
    count: u8,
    /// The bits of each path after the first `bits` bits.
    fine: [u16; SLOTS],
    indices: [u32; SLOTS],
}

impl Page {
    pub(super) fn path(&self) -> Path {
        Path::of_words(self.prefix)
    }

    pub(super) fn bits(&self) -> u32 {
        u32::from(self.bits)
    }

    /// The indices of the records.
    pub(super) fn indices(&self) -> &[u32] {
        &self.indices[..usize::from(self.count)]
    }

    /// The same page with a shorter common beginning.
    fn widened(&self, bits: u32) -> Page {
        let by = self.bits() - bits;
        let known = (u32::from(self.known) + by).min(FINE_BITS) as u8;
        let fine = self.fine.map(|fine| self.path().with_fine(self.bits(), fine).fine(bits));
        Page { prefix: self.path().beginning(bits).words(), bits: bits as u8, known, fine, ..*self }
    }

    /// The cell that the record in a slot is in.
    pub(super) fn cell(&self, slot: usize) -> Cell {
        let bits = (self.bits() + u32::from(self.known)).min(KEY_BITS);
        Cell { prefix: self.path().with_fine(self.bits(), self.fine[slot]).key, bits }
    }
}

/// The records and lines that the index refers to.
pub(super) struct Owners<'a> {
    pub(super) records: &'a mut Chunks<Record>,
    pub(super) lines: &'a Arena,
}

impl Space {
    pub(super) fn new() -> Space {
        Space {
            root: None,
            nodes: Chunks::new(),
            pages: Chunks::new(),
            vacant_node: None,
            vacant_page: None,
            version: 0,
        }
    }

    /// Whether a record may be added, or moved to another cell. There is room for 2^27 pages.
    pub(super) fn has_room(&self) -> bool {
        self.vacant_page.is_some() || self.pages.len() < PAGES_MAX
    }

    /// Notes the new location of a record, if that is in the same cell. Returns whether it is.
    #[inline]
    pub(super) fn stays(&mut self, place: Place, key: Key, index: u32) -> bool {
        if place == Place::NOWHERE {
            return false;
        }
        let page = &mut self.pages[place.page()];
        let common = (page.path().key ^ key.0).leading_zeros();
        let stays = common >= page.bits().min(KEY_BITS);
        if stays {
            page.fine[place.slot()] = Path::of(key, index).fine(page.bits());
        }
        stays
    }

    /// Moves a record to another cell: mostly one near by. Not inlined: most records stay in their cell.
    #[inline(never)]
    pub(super) fn put_elsewhere(&mut self, owners: &mut Owners<'_>, key: Key, index: u32) {
        let place = owners.records[index].place;
        if place == Place::NOWHERE {
            return self.add(owners, None, Path::of(key, index));
        }
        let (from, version) = (self.pages[place.page()].parent, self.version);
        self.remove(owners.records, index);
        let from = Some(from).filter(|&from| from != NONE && version == self.version);
        self.add(owners, from, Path::of(key, index));
    }

    /// Adds a record that is not in the index. Searches its cell from this node upwards, and then down.
    fn add(&mut self, owners: &mut Owners<'_>, from: Option<u32>, path: Path) {
        let index = path.index;
        let (mut at, mut parent) = (self.root, NONE);
        let mut above = from.unwrap_or(NONE);
        while above != NONE {
            let node = &self.nodes[above];
            if node.path().common(path) >= node.bits {
                (at, parent) = (Some(Link::node(above)), node.parent);
                break;
            }
            above = node.parent;
        }
        loop {
            match at.map(Link::target) {
                None => {
                    let page = self.new_page(path, 0);
                    self.root = Some(Link::page(page));
                    return self.put(owners.records, page, path, index);
                }
                Some(Target::Page(page)) if usize::from(self.pages[page].count) < SLOTS => {
                    return self.put(owners.records, page, path, index);
                }
                Some(Target::Page(page)) => return self.divide(owners, page, path, index),
                Some(Target::Node(number)) => {
                    let node = &self.nodes[number];
                    let common = node.path().common(path);
                    if common < node.bits {
                        let below = Link::node(number);
                        let page = self.insert_node(path, common, parent, below);
                        return self.put(owners.records, page, path, index);
                    }
                    (at, parent) = (Some(node.children[path.bit(node.bits)]), number);
                }
            }
        }
    }

    /// Removes a record from the index, if it is in it.
    pub(super) fn remove(&mut self, records: &mut Chunks<Record>, index: u32) {
        let place = std::mem::replace(&mut records[index].place, Place::NOWHERE);
        if place == Place::NOWHERE {
            return;
        }
        let (number, slot) = (place.page(), place.slot());
        let page = &mut self.pages[number];
        page.count -= 1;
        let last = usize::from(page.count);
        if slot < last {
            (page.fine[slot], page.indices[slot]) = (page.fine[last], page.indices[last]);
            records[page.indices[slot]].place = place;
        }
        self.merge(records, number);
    }

    /// The part of the trie with all paths that begin with the first `bits` bits of a path; `None`: there are no
    /// such paths. It may have other paths, too.
    pub(super) fn find(&self, path: Path, bits: u32) -> Option<Link> {
        let mut at = self.root?;
        while let Target::Node(number) = at.target() {
            let node = &self.nodes[number];
            let common = node.path().common(path);
            if node.bits >= bits || common < node.bits {
                return (common >= bits).then_some(at);
            }
            at = node.children[path.bit(node.bits)];
        }
        Some(at)
    }

    /// Reads the page of a record, so that the processor fetches it.
    pub(super) fn touch(&self, place: Place) -> u32 {
        if place == Place::NOWHERE {
            return 0;
        }
        let page = &self.pages[place.page()];
        page.parent ^ u32::from(page.fine[place.slot()])
    }

    /// Divides a full page, to which a record is added, where the paths first differ.
    fn divide(&mut self, owners: &mut Owners<'_>, number: u32, path: Path, index: u32) {
        let page = self.pages[number];
        let bits = page.bits();
        let new = path.fine(bits);
        let first = page.fine.iter().fold(0, |different, fine| different | (fine ^ new)).leading_zeros();
        // The side of each record, and the bits of its path after that.
        let (at, known, halves) = if first + 1 + KNOWN_MIN <= u32::from(page.known) {
            let half = |fine: u16| (usize::from(fine >> (FINE_BITS - 1 - first) & 1), fine << first << 1);
            (bits + first, u32::from(page.known) - first - 1, page.fine.map(half))
        } else {
            let paths = page.indices.map(|index| path_of(owners, &page, index));
            let at = paths.iter().map(|other| other.common(path)).min().unwrap_or(bits);
            (at, FINE_BITS, paths.map(|other| (other.bit(at), other.fine(at + 1))))
        };
        let side = path.bit(at);
        let created = self.insert_node(path, at, page.parent, Link::page(number));
        let kept = &mut self.pages[number];
        (kept.prefix, kept.bits, kept.count) = (path.beside(at).words(), at as u8 + 1, 0);
        let targets = if side == 0 { [created, number] } else { [number, created] };
        for target in targets {
            self.pages[target].known = known as u8;
        }
        for (&index, (half, fine)) in page.indices.iter().zip(halves) {
            self.push(owners.records, targets[half], fine, index);
        }
        self.put(owners.records, created, path, index);
    }

    /// Puts a record into a page with room.
    fn put(&mut self, records: &mut Chunks<Record>, number: u32, path: Path, index: u32) {
        let fine = path.fine(self.pages[number].bits());
        self.push(records, number, fine, index);
    }

    fn push(&mut self, records: &mut Chunks<Record>, number: u32, fine: u16, index: u32) {
        let page = &mut self.pages[number];
        let slot = usize::from(page.count);
        page.count += 1;
        (page.fine[slot], page.indices[slot]) = (fine, index);
        records[index].place = Place::of(number, slot);
    }

    /// Removes a page that became empty, or merges one that became small with the page beside it.
    fn merge(&mut self, records: &mut Chunks<Record>, number: u32) {
        let page = &self.pages[number];
        let count = page.indices().len();
        if count > MERGED_MAX {
            return;
        }
        if page.parent == NONE {
            if count == 0 {
                self.root = None;
                self.drop_page(number);
            }
            return;
        }
        let node = self.nodes[page.parent];
        let beside = node.children[usize::from(node.children[0] == Link::page(number))];
        match beside.target() {
            Target::Page(other) if count == 0 || count + self.pages[other].indices().len() <= MERGED_MAX => {
                let bits = if node.parent == NONE { 0 } else { self.nodes[node.parent].bits + 1 };
                let (page, kept) = (page.widened(bits), self.pages[other].widened(bits));
                self.pages[other] = Page { known: kept.known.min(page.known), ..kept };
                for (&index, &fine) in page.indices().iter().zip(&page.fine) {
                    self.push(records, other, fine, index);
                }
            }
            Target::Node(_) if count == 0 => {}
            Target::Page(_) | Target::Node(_) => return,
        }
        let above = self.pages[number].parent;
        self.set_parent(beside, node.parent);
        self.replace_child(node.parent, Link::node(above), beside);
        self.nodes[above].parent = self.vacant_node.replace(above).unwrap_or(NONE);
        self.drop_page(number);
    }

    /// Creates a page for a path, and a node that has it and `below`, whose paths all have the first `at` bits
    /// of it and another one then. Returns the page.
    fn insert_node(&mut self, path: Path, at: u32, parent: u32, below: Link) -> u32 {
        let page = self.new_page(path, at + 1);
        let mut children = [below; 2];
        children[path.bit(at)] = Link::page(page);
        let node = Node { prefix: path.words(), bits: at, parent, children };
        let number = match self.vacant_node {
            None => self.nodes.push(node),
            Some(number) => {
                self.vacant_node = Some(self.nodes[number].parent).filter(|&next| next != NONE);
                self.nodes[number] = node;
                number
            }
        };
        self.replace_child(parent, below, Link::node(number));
        self.set_parent(below, number);
        self.set_parent(Link::page(page), number);
        page
    }

    fn new_page(&mut self, path: Path, bits: u32) -> u32 {
        let page = Page {
            prefix: path.beginning(bits).words(),
            parent: NONE,
            bits: bits as u8,
            known: FINE_BITS as u8,
            count: 0,
            fine: [0; SLOTS],
            indices: [0; SLOTS],
        };
        self.version += 1;
        match self.vacant_page {
            None => self.pages.push(page),
            Some(number) => {
                self.vacant_page = Some(self.pages[number].parent).filter(|&next| next != NONE);
                self.pages[number] = page;
                number
            }
        }
    }

    fn drop_page(&mut self, number: u32) {
        self.version += 1;
        self.pages[number].parent = self.vacant_page.replace(number).unwrap_or(NONE);
    }

    fn set_parent(&mut self, link: Link, parent: u32) {
        match link.target() {
            Target::Node(number) => self.nodes[number].parent = parent,
            Target::Page(number) => self.pages[number].parent = parent,
        }
    }

    fn replace_child(&mut self, parent: u32, old: Link, new: Link) {
        if parent == NONE {
            self.root = Some(new);
        } else {
            let children = &mut self.nodes[parent].children;
            children[usize::from(children[1] == old)] = new;
        }
    }
}

/// The path to a record of a page.
fn path_of(owners: &Owners<'_>, page: &Page, index: u32) -> Path {
    if page.bits() >= KEY_BITS {
        return Path::of(Key(page.path().key), index);
    }
    let line = owners.lines.id_and_rest(owners.records[index].line);
    let location = line.split(|&byte| byte == b' ').nth(1).and_then(Location::parse);
    Path::of(location.map_or(Key(0), |location| Key::of(&location)), index)
}

/// Records of a page. With more, a search looks at more records that are too far away; with fewer, the trie
/// takes more memory.
pub(super) const SLOTS: usize = 32;
/// Records of two pages that are merged: fewer than a page has, so that the next few records do not divide it
/// again.
const MERGED_MAX: usize = 20;
/// With fewer known bits than this after a division, the lines are parsed for more: a cell is divided into 16
/// parts each way at least.
const KNOWN_MIN: u32 = 8;
/// The bit of a link to a page.
const PAGE: u32 = 1 << 31;
/// `NONE`: no node, or the end of a list of vacant nodes or pages.
const NONE: u32 = u32::MAX;
/// The greatest number of pages, so that a [`Place`] has 32 bits.
const PAGES_MAX: u32 = u32::MAX / SLOTS as u32;
/// Nodes and pages that are allocated together, about 28 and 54 KB.
const NODES_OF_CHUNK: usize = if cfg!(test) { 4 } else { 1024 };
const PAGES_OF_CHUNK: usize = if cfg!(test) { 4 } else { 256 };
