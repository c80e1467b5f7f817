//! Kinds of lines as one tree: bytes that must be the same, and holes between them.

use super::is_plain;
use super::template::Piece;
use crate::decimal;

/// Where a hole begins and ends in a line.
pub(super) type Hole = (usize, usize);

/// A stretch of bytes, and what comes behind it.
struct Node {
    bytes: Vec<u8>,
    /// Stretches, by their first byte.
    next: Vec<(u8, usize)>,
    /// What comes behind a text, up to its closing quote.
    text: Option<usize>,
    /// What comes behind a number.
    number: Option<usize>,
    /// Which kind ends here.
    leaf: Option<usize>,
}

impl Node {
    fn new(bytes: &[u8]) -> Node {
        Node { bytes: bytes.to_vec(), next: Vec::new(), text: None, number: None, leaf: None }
    }
}

/// Whether two stretches of one length are the same. The stretches of a tree are short, and eight bytes at a time are several times
/// quicker there than the system's comparison, whose masked loads stall on some processors.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    // No way out before the end: it would cost more than the rest of a stretch.
    let words = a.iter().zip(b).fold(0, |odd, (a, b)| odd | (word(a) ^ word(b)));
    let bytes = a_rest.iter().zip(b_rest).fold(0, |odd, (a, b)| odd | (a ^ b));
    words == 0 && bytes == 0
}

/// The kinds of lines that are known.
pub(super) struct Tree<T> {
    nodes: Vec<Node>,
    kinds: Vec<T>,
    bytes: usize,
}

impl<T> Tree<T> {
    pub(super) fn new() -> Tree<T> {
        Tree { nodes: vec![Node::new(b"")], kinds: Vec::new(), bytes: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// How many kinds.
    pub(super) fn len(&self) -> usize {
        self.kinds.len()
    }

    /// The bytes of all that were learned.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The kind of a line, and its holes in their order. A text with escapes or control characters is of none.
    pub(super) fn find(&mut self, line: &[u8], holes: &mut Vec<Hole>) -> Option<&mut T> {
        let (mut node, mut at) = (self.nodes.first()?, 0usize);
        loop {
            let (head, rest) = line.get(at..)?.split_at_checked(node.bytes.len())?;
            if !is_same(head, &node.bytes) {
                return None;
            }
            at += head.len();
            let Some(first) = rest.first() else { return self.kinds.get_mut(node.leaf?) };
            let next = match node.next.iter().find(|(byte, _)| byte == first) {
                Some((_, next)) => *next,
                None => {
                    let (length, next) = match (node.text, node.number) {
                        (Some(next), _) => {
                            let length = memchr::memchr(b'"', rest)?;
                            // Where an escape has a quote, the text is not over there.
                            is_plain(rest.get(..length)?).then_some((length, next))?
                        }
                        (None, Some(next)) => (decimal::length(rest)?, next),
                        (None, None) => return None,
                    };
                    holes.push((at, at + length));
                    at += length;
                    next
                }
            };
            node = self.nodes.get(next)?;
        }
    }

    /// Adds a kind. One that is there stays as it is.
    pub(super) fn insert(&mut self, pieces: &[Piece], kind: T) {
        let mut node = 0;
        for piece in pieces {
            let found = match piece {
                Piece::Bytes(bytes) => self.stretch(node, bytes),
                Piece::Text => self.hole(node, |n| &mut n.text),
                Piece::Number => self.hole(node, |n| &mut n.number),
            };
            match found {
                Some(next) => node = next,
                None => return,
            }
        }
        let next = self.kinds.len();
        if let Some(node) = self.nodes.get_mut(node)
            && node.leaf.is_none()
        {
            node.leaf = Some(next);
            self.kinds.push(kind);
        }
    }

    fn hole(&mut self, node: usize, of: impl Fn(&mut Node) -> &mut Option<usize>) -> Option<usize> {
        let next = self.nodes.len();
        let at = *of(self.nodes.get_mut(node)?).get_or_insert(next);
        if at == next {
            self.nodes.push(Node::new(b""));
        }
        Some(at)
    }

    /// The node behind a stretch that begins behind a node.
    fn stretch(&mut self, mut node: usize, bytes: &[u8]) -> Option<usize> {
        let mut rest = bytes;
        loop {
            let Some(first) = rest.first() else { return Some(node) };
            let next = self.nodes.len();
            let own = self.nodes.get_mut(node)?;
            let Some((_, child)) = own.next.iter().find(|(byte, _)| byte == first).copied() else {
                own.next.push((*first, next));
                self.nodes.push(Node::new(rest));
                self.bytes += rest.len();
                return Some(next);
            };
            let known = self.nodes.get_mut(child)?;
            let same = known.bytes.iter().zip(rest).take_while(|(a, b)| a == b).count();
            if same < known.bytes.len() {
                // The stretch parts in two, and what came behind it comes behind the second.
                let tail = known.bytes.split_off(same);
                let byte = *tail.first()?;
                let mut lower = Node::new(&tail);
                std::mem::swap(&mut lower.next, &mut known.next);
                (lower.text, lower.number, lower.leaf) = (known.text.take(), known.number.take(), known.leaf.take());
                known.next.push((byte, next));
                self.nodes.push(lower);
            }
            (node, rest) = (child, rest.get(same..)?);
        }
    }
}
