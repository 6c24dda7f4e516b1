use ring::rand::{SecureRandom, SystemRandom};
use std::time::Duration;

/// A collector that is restarted is back within tenths of a second.
const SHORTEST: Duration = Duration::from_millis(50);
/// One that is away for an hour must not find 10,000 senders asking twice a second.
const LONGEST: Duration = Duration::from_secs(5);

/// The pauses between attempts to connect: each is drawn between the shortest and a ceiling that doubles, so that
/// senders that lost the same collector do not come back as one.
#[derive(Default)]
pub(crate) struct Pauses {
    failures: u32,
}

impl Pauses {
    /// The pause after one more failure.
    pub(crate) fn next(&mut self) -> Duration {
        self.failures = (self.failures + 1).min(7); // 2^7 × SHORTEST is beyond LONGEST
        let ceiling = LONGEST.min(SHORTEST * 2_u32.pow(self.failures));
        SHORTEST + (ceiling - SHORTEST).mul_f64(f64::from(u32::from_le_bytes(random())) / f64::from(u32::MAX))
    }

    /// An acknowledgement came. A connection alone does not count: a proxy may take it while the collector is away.
    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
    }
}

/// Random bytes from the system.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("the system has random bytes");
    bytes
}
