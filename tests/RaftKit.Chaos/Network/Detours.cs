using System.Globalization;
using System.Text;

namespace RaftKit.Chaos.Network;

/// <summary>
/// Leads a member's connections through proxies, both those that it dials and those that others dial to it, by redirecting them in the
/// dialler's namespace. This kernel has no netem: it cannot delay by itself. Only new connections are redirected, so the old ones are
/// reset; and again when the detour is over.
/// </summary>
internal sealed class Detours(MemberNetwork network, Links links) : IDisposable
{
    private readonly Lazy<HubSockets> _sockets = new(() => new HubSockets(network.HubPath));
    private int _count;
    private int _connections;

    /// <summary>How many connections went through proxies so far: proof that the redirections took hold.</summary>
    public int Connections => _connections;

    public async Task<Detour> OpenAsync(int member, Weather weather)
    {
        var table = $"detour{Interlocked.Increment(ref _count)}";
        var proxies = new Dictionary<Way, Proxy>();
        foreach (var way in Topology.Between([member], links.Others(member)))
            proxies[way] = await Proxy.ListenAsync(_sockets.Value, way.From, way.To, weather);
        await Task.WhenAll(
            proxies.GroupBy(proxy => proxy.Key.From).Select(own => network.RunAsync(own.Key, Rules(table, own), "nft", "-f", "-")));
        await network.ResetAsync(member);
        return new Detour(network, table, proxies, connections => Interlocked.Add(ref _connections, connections));
    }

    public void Dispose()
    {
        if (_sockets.IsValueCreated)
            _sockets.Value.Dispose();
    }

    private static string Rules(string table, IEnumerable<KeyValuePair<Way, Proxy>> proxies)
    {
        var rules = new StringBuilder($"table ip {table} {{\nchain out {{ type nat hook output priority -100; policy accept;\n");
        foreach (var (way, proxy) in proxies)
        {
            rules.AppendLine(
                CultureInfo.InvariantCulture,
                $"ip daddr {MemberNetwork.Address(way.To)} tcp dport {MemberNetwork.Port} dnat to {MemberNetwork.Hub}:{proxy.Port}");
        }

        return rules.Append("}\n}\n").ToString();
    }
}

/// <summary>A member's connections while they go through proxies; straight again when it is disposed.</summary>
internal sealed class Detour(MemberNetwork network, string table, IReadOnlyDictionary<Way, Proxy> proxies, Action<int> count)
    : IAsyncDisposable
{
    /// <summary>How many connections went through them.</summary>
    public int Connections => proxies.Values.Sum(proxy => proxy.Connections);

    /// <summary>Resets all connections, each after some part of what is on its way: in the middle of a frame, as often as not.</summary>
    public void Tear()
    {
        foreach (var proxy in proxies.Values)
            proxy.Tear();
    }

    public async ValueTask DisposeAsync()
    {
        int[] diallers = [.. proxies.Keys.Select(way => way.From).Distinct()];
        // New connections go straight. The empty table stays: as long as it is there, the resets of the old ones are translated to their
        // diallers, however late a busy machine delivers them. Without that they would be black holes.
        await Task.WhenAll(diallers.Select(dialler => network.RunAsync(dialler, null, "nft", "flush", "table", "ip", table)));
        foreach (var proxy in proxies.Values)
            await proxy.DisposeAsync();
        count(Connections);
    }
}
