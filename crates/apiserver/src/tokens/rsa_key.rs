//! The RSA key of service account tokens (RS256), which every verifier of OpenID Connect understands.
//!
//! Generating one takes longer than a server may take to start, so it is generated after the start, once for each
//! cluster. `rsa` finds the primes; only `ring` signs, because the time that `rsa` takes to sign depends on the key
//! (RUSTSEC-2023-0071).

use std::path::{Path, PathBuf};

use clock::Clock;
use jsonwebtoken::DecodingKey;
use ring::rsa::{KeyPair, PublicKeyComponents};
use ring::signature::RSA_PKCS1_SHA256;
use rsa::pkcs8::{EncodePrivateKey, LineEnding};
use rsa::rand_core::{CryptoRng, RngCore};
use sha2::{Digest, Sha256};

/// The length of the modulus.
const BITS: usize = 2048;
/// What the PEM of a private key (PKCS#8) is labelled with.
const LABEL: &str = "PRIVATE KEY";

/// An RSA key.
pub struct RsaKey {
    /// The key's ID in tokens: a digest of the public key.
    pub id: String,
    /// The modulus, big endian.
    pub modulus: Vec<u8>,
    /// The public exponent, big endian.
    pub exponent: Vec<u8>,
    /// Verifies signatures.
    pub(super) decoding: DecodingKey,
    pair: KeyPair,
}

/// Why there is no RSA key.
#[derive(Debug, thiserror::Error)]
pub enum RsaKeyError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] tls::SecretFileError),
    /// The file contains no usable key.
    #[error("{path} does not contain an RSA key; move the file away to get a new one")]
    Content {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: KeyRejected,
    },
    /// A key cannot be generated.
    #[error("cannot generate an RSA key")]
    Generate(#[source] rsa::Error),
    /// A generated key cannot be encoded.
    #[error("cannot encode an RSA key")]
    Encode(#[source] rsa::pkcs8::Error),
}

/// Why a text is not a key.
#[derive(Debug, thiserror::Error)]
pub enum KeyRejected {
    /// It is not the PEM of a private key.
    #[error("expected a private key in PEM (PKCS#8)")]
    Pem,
    /// The private key cannot be used.
    #[error("the key is not usable: {0}")]
    Key(ring::error::KeyRejected),
}

/// The clock's randomness.
struct Random<'a>(&'a Clock);

impl RngCore for Random<'_> {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.0.fill_random(&mut bytes);
        u32::from_ne_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        self.0.random_u64()
    }

    fn fill_bytes(&mut self, buffer: &mut [u8]) {
        self.0.fill_random(buffer);
    }

    fn try_fill_bytes(&mut self, buffer: &mut [u8]) -> Result<(), rsa::rand_core::Error> {
        self.0.fill_random(buffer);
        Ok(())
    }
}

impl CryptoRng for Random<'_> {}

impl RsaKey {
    /// The key in a file, if the file exists.
    ///
    /// # Errors
    /// If the file cannot be read, or does not contain such a key.
    pub fn open(path: &Path) -> Result<Option<RsaKey>, RsaKeyError> {
        let text = match std::fs::read(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|source| RsaKeyError::Read { path: path.to_owned(), source })?,
        };
        let key = RsaKey::from_pem(&text);
        key.map(Some).map_err(|source| RsaKeyError::Content { path: path.to_owned(), source })
    }

    /// Generates a key, and writes it to a file that only its owner can read. Takes a second or more.
    ///
    /// # Errors
    /// If the key cannot be generated or the file cannot be written.
    pub fn generate(path: &Path, clock: &Clock) -> Result<RsaKey, RsaKeyError> {
        let generated = rsa::RsaPrivateKey::new(&mut Random(clock), BITS).map_err(RsaKeyError::Generate)?;
        let pem = generated.to_pkcs8_pem(LineEnding::LF).map_err(RsaKeyError::Encode)?;
        let key = RsaKey::from_pem(pem.as_bytes())
            .map_err(|source| RsaKeyError::Content { path: path.to_owned(), source })?;
        tls::write_secret(path, pem.as_bytes())?;
        Ok(key)
    }

    fn from_pem(text: &[u8]) -> Result<RsaKey, KeyRejected> {
        let (_, block) = x509_parser::pem::parse_x509_pem(text).map_err(|_| KeyRejected::Pem)?;
        if block.label != LABEL {
            return Err(KeyRejected::Pem);
        }
        let pair = KeyPair::from_pkcs8(&block.contents).map_err(KeyRejected::Key)?;
        let public = PublicKeyComponents::<Vec<u8>>::from(pair.public());
        let digest = Sha256::digest(pair.public().as_ref());
        Ok(RsaKey {
            id: digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect(),
            decoding: DecodingKey::from_rsa_raw_components(&public.n, &public.e),
            modulus: public.n,
            exponent: public.e,
            pair,
        })
    }

    /// The signature of a message (RSASSA-PKCS1-v1_5 with SHA-256).
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, ring::error::Unspecified> {
        let mut signature = vec![0; self.pair.public().modulus_len()];
        let random = ring::rand::SystemRandom::new();
        self.pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)?;
        Ok(signature)
    }
}
