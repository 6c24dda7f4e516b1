use prost::bytes::Bytes;
use std::collections::VecDeque;

/// Envelopes on their way at a time: enough to keep the collector busy while the first acknowledgement travels back.
pub(crate) const MOST_ENVELOPES: usize = 8;
/// Messages in an envelope.
const MOST_MESSAGES: usize = 500;
/// Bytes of messages in an envelope; a single larger message travels alone.
const MOST_BYTES: usize = 256 * 1024;

/// What the next envelope carries.
#[derive(Debug, PartialEq)]
pub(crate) struct Cut {
    /// Sequence of the first message; 0 without any.
    pub(crate) first_sequence: u64,
    pub(crate) messages: Vec<Bytes>,
    /// The closing note: the last sequence of all.
    pub(crate) last_sequence: Option<u64>,
}

/// An acknowledgement that answers no envelope on its way.
#[derive(Debug)]
pub(crate) struct OutOfOrder;

#[derive(Clone, Copy, PartialEq)]
enum Note {
    NotYet,
    Wanted,
    OnTheWay,
    Acknowledged,
}

struct OnTheWay {
    messages: usize,
    has_note: bool,
}

/// A sender's messages from the moment that they are given until they are acknowledged: numbers them, cuts envelopes,
/// and starts again at the first that is not acknowledged when a connection breaks. Knows no clock and no wire.
///
/// `Room` is what a message occupies; it is dropped when the message leaves.
pub(crate) struct Window<Room> {
    /// Not acknowledged; the front one has the sequence `acknowledged + 1`.
    messages: VecDeque<(Bytes, Room)>,
    acknowledged: u64,
    on_the_way: VecDeque<OnTheWay>,
    /// How many of `messages` are in an envelope on its way.
    cut: usize,
    /// Bytes of those that are not.
    uncut_bytes: usize,
    /// Whether an acknowledgement came since the last cut: then a part-filled envelope need not wait.
    answered: bool,
    /// Messages up to this sequence travel alone, one after the other.
    alone_up_to: u64,
    /// Sequence of the last message that was replaced.
    replaced: u64,
    note: Note,
}

impl<Room> Window<Room> {
    pub(crate) fn new() -> Self {
        Self {
            messages: VecDeque::new(),
            acknowledged: 0,
            on_the_way: VecDeque::new(),
            cut: 0,
            uncut_bytes: 0,
            answered: false,
            alone_up_to: 0,
            replaced: 0,
            note: Note::NotYet,
        }
    }

    /// Everything up to this sequence is acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Sequence of the last message; 0 before the first.
    pub(crate) fn last_sequence(&self) -> u64 {
        self.acknowledged + self.messages.len() as u64
    }

    /// Whether no message can come any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.note != Note::NotYet
    }

    /// Whether the closing note, and so every message before it, is acknowledged.
    pub(crate) fn is_finished(&self) -> bool {
        self.note == Note::Acknowledged
    }

    /// Gives the message the next sequence.
    pub(crate) fn push(&mut self, message: Bytes, room: Room) {
        self.uncut_bytes += message.len();
        self.messages.push_back((message, room));
    }

    /// No message comes after those that are there: the last envelope says so. Without any there is nothing to say.
    pub(crate) fn close(&mut self) {
        if self.note == Note::NotYet {
            self.note = if self.last_sequence() == 0 { Note::Acknowledged } else { Note::Wanted };
        }
    }

    /// Whether all that was ever given is acknowledged, and more may come.
    pub(crate) fn is_idle(&self) -> bool {
        self.note == Note::NotYet && self.acknowledged > 0 && self.messages.is_empty() && self.on_the_way.is_empty()
    }

    /// Whether there is something that should be sent now. No timer: while nothing is on its way a message leaves at
    /// once, and under load envelopes fill until an acknowledgement comes.
    pub(crate) fn is_ready(&self) -> bool {
        let uncut = self.messages.len() - self.cut;
        let most = if self.is_alone() { 1 } else { MOST_ENVELOPES };
        let is_full = uncut >= MOST_MESSAGES || self.uncut_bytes >= MOST_BYTES;
        self.on_the_way.len() < most
            && (self.note == Note::Wanted || uncut > 0 && (is_full || self.answered || self.on_the_way.is_empty()))
    }

    /// The next envelope, which from now on counts as on its way. None while it is better to wait.
    pub(crate) fn next(&mut self) -> Option<Cut> {
        if !self.is_ready() {
            return None;
        }
        let most = if self.is_alone() { 1 } else { MOST_MESSAGES };
        let mut messages: Vec<Bytes> = Vec::new();
        let mut bytes = 0;
        for (message, _) in self.messages.range(self.cut..).take(most) {
            if !messages.is_empty() && bytes + message.len() > MOST_BYTES {
                break;
            }
            bytes += message.len();
            messages.push(message.clone());
        }
        let first_sequence = if messages.is_empty() { 0 } else { self.acknowledged + self.cut as u64 + 1 };
        self.cut += messages.len();
        self.uncut_bytes -= bytes;
        self.answered = false;
        let has_note = self.note == Note::Wanted && self.cut == self.messages.len();
        if has_note {
            self.note = Note::OnTheWay;
        }
        self.on_the_way.push_back(OnTheWay { messages: messages.len(), has_note });
        Some(Cut { first_sequence, messages, last_sequence: has_note.then(|| self.last_sequence()) })
    }

    /// An envelope without messages goes, to be answered like the others.
    pub(crate) fn beat(&mut self) {
        self.on_the_way.push_back(OnTheWay { messages: 0, has_note: false });
    }

    /// The oldest envelope on its way is stored: its first and last sequence, none where it had no message.
    pub(crate) fn acknowledge(&mut self, committed: Option<(u64, u64)>) -> Result<(), OutOfOrder> {
        let oldest = self.on_the_way.front().ok_or(OutOfOrder)?;
        let last = self.acknowledged + oldest.messages as u64;
        if committed != (oldest.messages > 0).then_some((self.acknowledged + 1, last)) {
            return Err(OutOfOrder);
        }
        self.messages.drain(..oldest.messages);
        self.cut -= oldest.messages;
        self.acknowledged = last;
        self.answered = true;
        if oldest.has_note {
            self.note = Note::Acknowledged;
        }
        self.on_the_way.pop_front();
        Ok(())
    }

    /// The connection broke: all that is not acknowledged is cut again, with the same sequences.
    pub(crate) fn rewind(&mut self) {
        self.on_the_way.clear();
        self.uncut_bytes += self.messages.range(..self.cut).map(|(message, _)| message.len()).sum::<usize>();
        self.cut = 0;
        if self.note == Note::OnTheWay {
            self.note = Note::Wanted;
        }
    }

    /// An envelope on its way was refused for what is in it, which ended the stream. Where it is not known which
    /// message is to blame, all that were on their way travel alone next time; where it is, `replacement` takes its
    /// place under its sequence. False when that was done before and did not help. To be followed by a rewind.
    pub(crate) fn refused(&mut self, replacement: impl FnOnce() -> Bytes) -> bool {
        let first = self.acknowledged + 1;
        match self.cut {
            0 => return false,
            1 if self.replaced == first => return false,
            1 => {
                self.messages[0].0 = replacement();
                self.replaced = first;
            }
            _ => self.alone_up_to = self.acknowledged + self.cut as u64,
        }
        true
    }

    fn is_alone(&self) -> bool {
        self.acknowledged < self.alone_up_to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(messages: usize) -> Window<()> {
        let mut window = Window::new();
        for _ in 0..messages {
            window.push(Bytes::from_static(b"message"), ());
        }
        window
    }

    fn cut(window: &mut Window<()>) -> Option<(u64, usize, Option<u64>)> {
        window.next().map(|cut| (cut.first_sequence, cut.messages.len(), cut.last_sequence))
    }

    #[test]
    fn a_lone_message_leaves_at_once_and_those_after_it_gather_until_it_is_answered() {
        let mut window = window(1);
        assert_eq!(cut(&mut window), Some((1, 1, None)));
        window.push(Bytes::new(), ());
        window.push(Bytes::new(), ());
        assert_eq!(cut(&mut window), None);
        window.acknowledge(Some((1, 1))).unwrap();
        assert_eq!(cut(&mut window), Some((2, 2, None)));
    }

    #[test]
    fn an_envelope_has_500_messages_or_256_kib_at_most_and_a_larger_message_its_own() {
        let mut window = window(501);
        assert_eq!(cut(&mut window), Some((1, 500, None)));
        window.push(Bytes::from(vec![0; MOST_BYTES]), ());
        window.push(Bytes::from(vec![0; MOST_BYTES]), ());
        assert_eq!(cut(&mut window), Some((501, 1, None)));
        assert_eq!(cut(&mut window), Some((502, 1, None)));
        assert_eq!(cut(&mut window), Some((503, 1, None)));
    }

    #[test]
    fn eight_envelopes_are_on_their_way_at_most() {
        let mut window = window(9 * MOST_MESSAGES);
        assert_eq!(std::iter::from_fn(|| cut(&mut window)).count(), 8);
        window.acknowledge(Some((1, 500))).unwrap();
        assert_eq!(cut(&mut window), Some((4001, 500, None)));
    }

    #[test]
    fn what_is_not_acknowledged_goes_again_under_its_sequences_and_the_note_with_it() {
        let mut window = window(700);
        window.close();
        assert_eq!(cut(&mut window), Some((1, 500, None)));
        assert_eq!(cut(&mut window), Some((501, 200, Some(700))));
        window.acknowledge(Some((1, 500))).unwrap();
        window.rewind();
        assert_eq!(cut(&mut window), Some((501, 200, Some(700))));
        window.acknowledge(Some((501, 700))).unwrap();
        assert!(window.is_finished());
    }

    #[test]
    fn it_is_idle_once_all_is_acknowledged_and_until_it_is_closed() {
        assert!(!window(0).is_idle());
        let mut window = window(1);
        assert!(!window.is_idle());
        cut(&mut window);
        assert!(!window.is_idle());
        window.acknowledge(Some((1, 1))).unwrap();
        assert!(window.is_idle());

        window.beat();
        assert!(!window.is_idle());
        window.acknowledge(None).unwrap();
        assert!(window.is_idle());
        assert_eq!(window.acknowledged(), 1);

        window.close();
        assert!(!window.is_idle());
    }

    #[test]
    fn an_acknowledgement_of_other_sequences_is_not_taken() {
        let mut window = window(3);
        assert!(window.acknowledge(Some((1, 3))).is_err());
        cut(&mut window);
        assert!(window.acknowledge(Some((1, 2))).is_err());
        assert!(window.acknowledge(None).is_err());
        assert_eq!(window.acknowledged(), 0);
    }
}
