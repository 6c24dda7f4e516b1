use crate::{Error, Tls};
use rustls::{
    CertificateError, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::ring::default_provider,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};
use std::{fmt::Display, sync::Arc};
use tonic::transport::{ClientTlsConfig, Endpoint, Identity};

/// An endpoint that speaks TLS.
pub(crate) fn secure(endpoint: Endpoint, tls: &Tls) -> Result<Endpoint, Error> {
    let mut config = ClientTlsConfig::new();
    if let Some(name) = &tls.server_name {
        config = config.domain_name(name);
    }
    if let Some((certificate, key)) = &tls.identity {
        config = config.identity(Identity::from_pem(certificate, key));
    }
    match &tls.ca {
        None => endpoint.tls_config(config.with_native_roots()),
        Some(ca) => endpoint.tls_config_with_verifier(config, Arc::new(Verifier::new(ca)?)),
    }
    .map_err(unusable)
}

fn unusable(reason: impl Display) -> Error {
    Error::Options(format!("options.tls: {reason}; certificates and keys must be PEM"))
}

/// Trusts what the given certificates vouch for, and themselves. A collector's own certificate is its own authority,
/// which webpki by itself refuses in a server's place.
#[derive(Debug)]
struct Verifier {
    trusted: Vec<CertificateDer<'static>>,
    webpki: Arc<WebPkiServerVerifier>,
}

impl Verifier {
    fn new(ca: &[u8]) -> Result<Self, Error> {
        let trusted: Vec<_> = CertificateDer::pem_slice_iter(ca).collect::<Result<_, _>>().map_err(unusable)?;
        let mut roots = RootCertStore::empty();
        for certificate in &trusted {
            roots.add(certificate.clone()).map_err(unusable)?;
        }
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()))
            .build()
            .map_err(unusable)?;
        Ok(Self { trusted, webpki })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.webpki.verify_server_cert(shown, intermediates, name, ocsp, now) {
            // It looks at this after the dates, and before the name.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(reason))))
                if reason.to_string() == "CaUsedAsEndEntity" =>
            {
                if !self.trusted.iter().any(|one| one == shown) {
                    return Err(CertificateError::UnknownIssuer.into());
                }
                verify_server_name(&ParsedCertificate::try_from(shown)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// As a collector makes it for itself, with the one name `parsl-collector`.
    const OWN: &str = "\
-----BEGIN CERTIFICATE-----
MIIBpzCCAU6gAwIBAgIUAOn8O7fxR8heSjaP41j2YI+0A4AwCgYIKoZIzj0EAwIw
GjEYMBYGA1UEAwwPcGFyc2wtY29sbGVjdG9yMB4XDTI2MTEyNjE0MzgyMVoXDTI2
MTIyNjE0MzgyMVowGjEYMBYGA1UEAwwPcGFyc2wtY29sbGVjdG9yMFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAEx48Ik8gIdJ8lKcrY8Cl52UIaPtxuuFcNQV1HrLml
bZOgyfPR2YAaCaVn+P6b8brepsT6y9snfFu3A0bP+ne/bKNyMHAwHQYDVR0OBBYE
FGYufGtS3xdG/B+c8WopHpevt3MWMB8GA1UdIwQYMBaAFGYufGtS3xdG/B+c8Wop
Hpevt3MWMBIGA1UdEwEB/wQIMAYBAf8CAQAwGgYDVR0RBBMwEYIPcGFyc2wtY29s
bGVjdG9yMAoGCCqGSM49BAMCA0cAMEQCIHd77l1r05LqW+QSXwrXrP2VLkDVxS1a
rwCASLPLUGvwAiBHq/ny+srluPHzrAYf63yi/ofwdvfBS0BvChF8Gmftkw==
-----END CERTIFICATE-----
";

    /// Another one of that name.
    const OTHER: &str = "\
-----BEGIN CERTIFICATE-----
MIIBpzCCAU6gAwIBAgIUI6B+PxeCWEoSXa0My+290m90GiswCgYIKoZIzj0EAwIw
GjEYMBYGA1UEAwwPcGFyc2wtY29sbGVjdG9yMB4XDTI2MTEyNjE0MzgyMVoXDTI2
MTIyNjE0MzgyMVowGjEYMBYGA1UEAwwPcGFyc2wtY29sbGVjdG9yMFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAEvZabRoOTM4a3sFspTFxy8Ric8OsvjsXqF2ncfuVq
wEL//0I7KvYbtY7PD9dPUWxn0hXKo+ZIBfczhDmcleAv+aNyMHAwHQYDVR0OBBYE
FNCjZMhDoO0pwlC+N4uEZ9SbT9VUMB8GA1UdIwQYMBaAFNCjZMhDoO0pwlC+N4uE
Z9SbT9VUMBIGA1UdEwEB/wQIMAYBAf8CAQAwGgYDVR0RBBMwEYIPcGFyc2wtY29s
bGVjdG9yMAoGCCqGSM49BAMCA0cAMEQCIFU/uGzmL1cRKUtBtKs6ZOLBAEBtBo+K
uHtXt5zMBZGsAiAM2UCnmfYOUhCiv4Hu4XdXQiSvedohSSUoi8WSIExAHg==
-----END CERTIFICATE-----
";

    /// 27 November 2026, when both are valid.
    const NOW: Duration = Duration::from_secs(1_795_780_000);

    fn verdict(trusted: &str, shown: &str, name: &str, now: Duration) -> Result<(), rustls::Error> {
        let shown = CertificateDer::from_pem_slice(shown.as_bytes()).unwrap();
        let name = ServerName::try_from(name).unwrap();
        let verifier = Verifier::new(trusted.as_bytes()).unwrap();
        verifier.verify_server_cert(&shown, &[], &name, &[], UnixTime::since_unix_epoch(now)).map(|_| ())
    }

    #[test]
    fn a_certificate_that_is_its_own_authority_is_trusted_for_its_names_while_it_is_valid() {
        assert_eq!(verdict(OWN, OWN, "parsl-collector", NOW), Ok(()));

        for (name, now) in [("elsewhere", NOW), ("parsl-collector", 2 * NOW)] {
            let refused = verdict(OWN, OWN, name, now);
            assert!(matches!(refused, Err(rustls::Error::InvalidCertificate(_))), "{name}: {refused:?}");
        }
    }

    #[test]
    fn another_certificate_of_the_same_name_is_not_trusted() {
        let unknown = Err(CertificateError::UnknownIssuer.into());
        assert_eq!(verdict(OWN, OTHER, "parsl-collector", NOW), unknown);
    }
}
