namespace RaftKit;

/// <summary>
/// TLS between members. The files are read again when they change, so that a renewed certificate is taken up without a restart.
/// </summary>
public sealed class RaftKitTlsOptions
{
    /// <summary>A PEM file with this member's certificate, for both sides of a connection. Needed.</summary>
    public string CertificatePath { get; set; } = "";

    /// <summary>A PEM file with its private key. Null by default: the certificate's file has it.</summary>
    public string? KeyPath { get; set; }

    /// <summary>
    /// A PEM file with the only authorities that members' certificates may come from. Null by default: the machine's trusted roots. Whoever
    /// has a certificate of one of them can be a member, so use an authority of your own.
    /// </summary>
    public string? AuthorityPath { get; set; }

    /// <summary>
    /// Whether a member's certificate must name the host by which it is dialled. True by default; off where the authority signs members
    /// only.
    /// </summary>
    public bool CheckHostName { get; set; } = true;
}
