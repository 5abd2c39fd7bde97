//! What the Kubernetes API holds.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    scalebot_adapters::hostile::kubernetes(bytes);
});
