using System.Net;
using System.Net.Sockets;

namespace RaftKit.Tests;

/// <summary>Where members of a test listen.</summary>
internal static class Loopback
{
    /// <summary>A port that nobody listened at a moment ago.</summary>
    public static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
