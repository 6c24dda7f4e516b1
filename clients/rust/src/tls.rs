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
