using System.Globalization;
using RaftKit.Node.Transport;

namespace RaftKit;

/// <summary>A host and a port as options give them: <c>10.0.0.1:7420</c>, <c>[::1]:7420</c>, <c>db-1.internal:7420</c>.</summary>
internal readonly record struct Endpoint(string Host, int Port)
{
    /// <summary>Where a quorum of one listens: a free port that nobody needs to know.</summary>
    public const string Loopback = "127.0.0.1:0";

    public bool IsLoopback => new NetworkAddress(Host, Port).IsLoopback;

    /// <param name="text">What was configured.</param>
    /// <param name="endpoint">What it says.</param>
    /// <param name="anyHost">Whether '*' (every address) is a host: to listen on, not to dial.</param>
    public static bool TryParse(string? text, out Endpoint endpoint, bool anyHost = false)
    {
        endpoint = default;
        var colon = text?.LastIndexOf(':') ?? -1;
        if (colon <= 0 || !int.TryParse(text.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var port)
            || port > 65535)
            return false;
        var host = text![..colon];
        if (host is ['[', .., ']'])
            host = host[1..^1];
        else if (host.Contains(':'))
            return false; // An IPv6 address needs brackets: else its last group would pass for a port.
        if (Uri.CheckHostName(host) == UriHostNameType.Unknown && !(anyHost && host == "*"))
            return false;
        endpoint = new Endpoint(host, port);
        return true;
    }
}
