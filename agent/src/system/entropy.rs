//! Random bytes from the kernel, as the `fill` that parts with randomness as a parameter are given.

/// Fills `bytes`. Waits only in the first seconds of a machine's life, until the kernel has gathered enough.
pub fn fill(bytes: &mut [u8]) {
    // getrandom(2) is in every kernel this program runs on and cannot fail for buffers that are ours.
    getrandom::fill(bytes).expect("the kernel gives random bytes");
}

#[cfg(test)]
mod tests {
    #[test]
    fn two_fills_differ() {
        let (mut one, mut other) = ([0; 16], [0; 16]);
        super::fill(&mut one);
        super::fill(&mut other);
        assert_ne!(one, other);
    }
}
