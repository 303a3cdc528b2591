using System.Security.Cryptography.X509Certificates;

namespace RaftKit.Hosting;

/// <summary>A certificate and its key in PEM files, read again when they change.</summary>
internal sealed class CertificateFile(string path, string? keyPath)
{
    private readonly Lock _lock = new();
    private (DateTime Certificate, DateTime Key) _read;
    private X509Certificate2? _certificate;

    /// <summary>The newest that could be read: while a renewal is half written, the one before.</summary>
    public X509Certificate2 Current
    {
        get
        {
            lock (_lock)
            {
                var written = (File.GetLastWriteTimeUtc(path), keyPath is null ? default : File.GetLastWriteTimeUtc(keyPath));
                if (_certificate is { } known && written == _read)
                    return known;
                try
                {
                    _certificate = Read();
                    _read = written;
                }
                catch (Exception e) when (_certificate is not null
                    && e is IOException or UnauthorizedAccessException or System.Security.Cryptography.CryptographicException)
                {
                    // Tried again at the next handshake.
                }

                return _certificate!;
            }
        }
    }

    private X509Certificate2 Read()
    {
        using var pem = X509Certificate2.CreateFromPemFile(path, keyPath);

        // A key that was read from PEM is ephemeral, which some platforms' TLS cannot use; one from PKCS 12 is not.
        return X509CertificateLoader.LoadPkcs12(pem.Export(X509ContentType.Pkcs12), null);
    }
}
