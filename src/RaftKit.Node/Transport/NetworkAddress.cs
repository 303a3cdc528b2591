using System.Globalization;
using System.Net;

namespace RaftKit.Node.Transport;

/// <summary>"host:port" as members write it in configurations: a name, an IPv4 address, or an IPv6 address in brackets.</summary>
/// <param name="Host">Without brackets.</param>
/// <param name="Port">0 to 65535.</param>
internal readonly record struct NetworkAddress(string Host, int Port)
{
    /// <exception cref="FormatException">The text is no such address.</exception>
    public static NetworkAddress Parse(string text) => TryParse(text, out var address) ? address
        : throw new FormatException($"\"{text}\" is not an address: write host:port, or [address]:port for IPv6.");

    /// <summary>As <see cref="Parse"/>, for what others say.</summary>
    public static bool TryParse(string text, out NetworkAddress address)
    {
        address = default;
        var colon = text.LastIndexOf(':');
        var host = colon > 0 ? text[..colon] : "";
        if (host.StartsWith('[') && host.EndsWith(']'))
            host = host[1..^1];
        else if (host.Contains(':', StringComparison.Ordinal))
            host = "";
        if (host.Length == 0 || !ushort.TryParse(text.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var port))
            return false;
        address = new NetworkAddress(host, port);
        return true;
    }

    /// <summary>Whether two texts are one address: names of hosts are the same in either case (RFC 4343).</summary>
    public static bool AreSame(string one, string other) => one == other
        || (TryParse(one, out var a) && TryParse(other, out var b) && a.Port == b.Port && a.Host.Equals(b.Host, StringComparison.OrdinalIgnoreCase));

    /// <summary>Why no other member can dial this: a wildcard and port 0 are to listen on. Null if it can be tried.</summary>
    public static string? WhyNotDialled(string text)
    {
        if (!TryParse(text, out var address))
            return "write host:port, such as 10.0.0.4:7420, or [address]:port for IPv6.";
        if (address.Port == 0)
            return "its port is 0. Give the port that the member listens on.";
        if (IPAddress.TryParse(address.Host, out var ip)
            ? ip.Equals(IPAddress.Any) || ip.Equals(IPAddress.IPv6Any)
            : Uri.CheckHostName(address.Host) == UriHostNameType.Unknown)
            return $"'{address.Host}' is not the address or the name of one machine. Give the one by which the others reach the member.";
        return null;
    }

    /// <summary>Only this machine can dial it.</summary>
    public bool IsLoopback => IPAddress.TryParse(Host, out var ip)
        ? IPAddress.IsLoopback(ip)
        : Host.Equals("localhost", StringComparison.OrdinalIgnoreCase);

    /// <summary>As <see cref="IsLoopback"/>, of what others say; false for what is no address.</summary>
    public static bool IsOnLoopback(string text) => TryParse(text, out var address) && address.IsLoopback;

    /// <summary>What to connect to; names are resolved at each dial, so that a moved host is found.</summary>
    public EndPoint ToEndPoint() => IPAddress.TryParse(Host, out var address) ? new IPEndPoint(address, Port) : new DnsEndPoint(Host, Port);

    /// <summary>Which local address to listen on.</summary>
    public IPEndPoint ToListenEndPoint()
    {
        if (Host == "*")
            return new IPEndPoint(IPAddress.IPv6Any, Port);
        if (IPAddress.TryParse(Host, out var address))
            return new IPEndPoint(address, Port);
        var addresses = Dns.GetHostAddresses(Host);
        return addresses.Length > 0 ? new IPEndPoint(addresses[0], Port)
            : throw new FormatException($"\"{Host}\" has no address to listen on.");
    }

    public override string ToString() => Host.Contains(':', StringComparison.Ordinal) ? $"[{Host}]:{Port}" : $"{Host}:{Port}";
}
