using System.Net.Security;
using System.Security.Cryptography.X509Certificates;

namespace RaftKit.Node.Transport;

/// <summary>
/// Mutual TLS between members: each shows a certificate, each checks the other's. Trust comes from <see cref="Roots"/> or from
/// <see cref="Validate"/>; without both, from the machine's trusted roots.
/// </summary>
internal sealed record TransportSecurity
{
    /// <summary>
    /// This member's certificate with its private key. Asked for at each handshake, so that a renewed one is taken up without a restart.
    /// </summary>
    public required Func<X509Certificate2> Certificate { get; init; }

    /// <summary>The only authorities that members' certificates may come from.</summary>
    public X509Certificate2Collection? Roots { get; init; }

    /// <summary>
    /// Whether the dialled member's certificate must name the dialled host. Off where one private authority signs members only.
    /// </summary>
    public bool CheckHostName { get; init; } = true;

    /// <summary>The name that a dialled member's certificate must bear; null for the host that was dialled.</summary>
    public string? TargetHost { get; init; }

    /// <summary>Decides alone, when set. Runs on pool threads; must not block for long.</summary>
    public RemoteCertificateValidationCallback? Validate { get; init; }

    internal SslClientAuthenticationOptions ForDialling(string host) => new()
    {
        TargetHost = TargetHost ?? host,
        LocalCertificateSelectionCallback = (_, _, _, _, _) => Certificate(),
        RemoteCertificateValidationCallback = (sender, certificate, chain, errors) =>
            IsTrusted(sender, certificate, chain, errors, CheckHostName),
        CertificateChainPolicy = Policy(),
    };

    internal SslServerAuthenticationOptions ForAccepting() => new()
    {
        ServerCertificate = Certificate(),
        ClientCertificateRequired = true,
        RemoteCertificateValidationCallback = (sender, certificate, chain, errors) => IsTrusted(sender, certificate, chain, errors, false),
        CertificateChainPolicy = Policy(),
    };

    private bool IsTrusted(object sender, X509Certificate? certificate, X509Chain? chain, SslPolicyErrors errors, bool checkName)
    {
        if (Validate is not null)
            return Validate(sender, certificate, chain, errors);
        if (!checkName)
            errors &= ~SslPolicyErrors.RemoteCertificateNameMismatch;
        return certificate is not null && errors == SslPolicyErrors.None;
    }

    // Null leaves the machine's own trust in force.
    private X509ChainPolicy? Policy()
    {
        if (Roots is null)
            return null;
        var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
        policy.CustomTrustStore.AddRange(Roots);
        return policy;
    }
}
