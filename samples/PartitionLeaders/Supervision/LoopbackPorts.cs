using System.Net;
using System.Net.Sockets;

namespace PartitionLeaders.Supervision;

/// <summary>Finds addresses on loopback whose ports are free and stay so while a broker is down.</summary>
internal static class LoopbackPorts
{
    // Below the range from which Linux gives ports to outgoing connections: else one of these could take a dead broker's port before it is
    // back, even another broker's attempt to connect to it (which would then be connected to itself).
    private const int First = 16_000;
    private const int End = 32_000;

    public static IReadOnlyList<string> Find(int count)
    {
        var held = new List<TcpListener>();
        try
        {
            for (var tries = 0; held.Count < count; tries++)
            {
                if (tries == 1_000)
                    throw new IOException($"No {count} ports from {First} to {End} are free on 127.0.0.1.");
                var listener = new TcpListener(IPAddress.Loopback, Random.Shared.Next(First, End));
                try
                {
                    listener.Start();
                    held.Add(listener);
                }
                catch (SocketException)
                {
                    listener.Dispose();
                }
            }

            return [.. held.Select(listener => $"{listener.LocalEndpoint}")];
        }
        finally
        {
            held.ForEach(listener => listener.Dispose());
        }
    }
}
