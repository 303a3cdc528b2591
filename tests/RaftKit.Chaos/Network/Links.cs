using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace RaftKit.Chaos.Network;

/// <summary>
/// What is wrong with the links between members now, as nftables in each member's namespace carry it out: packets in a cut direction are
/// dropped where they leave, a lossy member's are dropped by chance, in and out. Several faults may hold links at a time; a direction is
/// whole when nobody holds it any more.
/// </summary>
internal sealed partial class Links(MemberNetwork network, IReadOnlyList<int> processes, Func<int, bool, Task> tellCutOff)
{
    // Before a proxy's redirection, so that a rule names the member that is meant, whichever way its packets take.
    private const int BeforeRedirection = -150;

    private readonly SemaphoreSlim _one = new(1);
    private readonly List<(IReadOnlySet<Way> Ways, bool Cut, int Loss)> _held = [];
    private IReadOnlySet<int> _cutOff = new HashSet<int>();

    /// <summary>Drops every packet in these directions until the result is disposed.</summary>
    public Task<IAsyncDisposable> CutAsync(IEnumerable<Way> ways) => HoldAsync((ways.ToHashSet(), Cut: true, Loss: 0));

    /// <summary>Drops some percent of a member's packets, in both directions.</summary>
    public Task<IAsyncDisposable> LoseAsync(int member, int percent) => HoldAsync((WaysOf(member), Cut: false, percent));

    /// <summary>Leaves them as they are, but somebody stalls them: nobody is to blame for what their sessions suffer.</summary>
    public Task<IAsyncDisposable> ExcuseAsync(int member) => HoldAsync((WaysOf(member), Cut: false, Loss: 0));

    /// <summary>How many packets were dropped so far: proof that the rules took hold.</summary>
    public long Dropped { get; private set; }

    public IReadOnlyCollection<int> Others(int member) => [.. processes.Where(m => m != member)];

    private HashSet<Way> WaysOf(int member) => [.. Topology.Between([member], Others(member))];

    private async Task<IAsyncDisposable> HoldAsync((IReadOnlySet<Way> Ways, bool Cut, int Loss) hold)
    {
        await ChangeAsync(hold.Ways, () => _held.Add(hold));
        return new Release(() => ChangeAsync(hold.Ways, () => _held.Remove(hold)));
    }

    private async Task ChangeAsync(IReadOnlySet<Way> ways, Action change)
    {
        await _one.WaitAsync();
        try
        {
            change();
            var cutOff = Topology.CutOff(processes, _held.SelectMany(h => h.Ways).ToHashSet());
            // Told before a link breaks, and after it is whole again: nobody is blamed for the moment between.
            foreach (var member in cutOff.Except(_cutOff))
                await tellCutOff(member, true);
            foreach (var dropped in await Task.WhenAll(ways.Select(way => way.From).Distinct().Select(ReplaceAsync)))
                Dropped += dropped;
            foreach (var member in _cutOff.Except(cutOff))
                await tellCutOff(member, false);
            _cutOff = cutOff;
        }
        finally
        {
            _one.Release();
        }
    }

    // Counters go with the rules. The first time there is nothing to read.
    private async Task<long> ReplaceAsync(int member)
    {
        var (_, replaced, _) = await Command.TryAsync(
            null, "nsenter", $"--net={network.NamespacePath($"{member}")}", "nft", "list", "table", "ip", "links");
        await network.RunAsync(member, Rules(member), "nft", "-f", "-");
        return Packets().Matches(replaced).Sum(match => long.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture));
    }

    [GeneratedRegex("counter packets ([0-9]+)")]
    private static partial Regex Packets();

    private string Rules(int member)
    {
        var rules = new StringBuilder();
        void Line(FormattableString line) => rules.AppendLine(line.ToString(CultureInfo.InvariantCulture));

        // One transaction: there is no moment without rules.
        Line($"table ip links");
        Line($"delete table ip links");
        Line($"table ip links {{");
        Line($"chain out {{ type filter hook output priority {BeforeRedirection}; policy accept;");
        foreach (var to in _held.Where(h => h.Cut).SelectMany(h => h.Ways).Where(way => way.From == member).Select(
            way => way.To).Distinct())
            Line($"ip daddr {{ {MemberNetwork.Address(to)}, {MemberNetwork.Substitute(to)} }} counter drop");
        var loss = _held.Where(h => h.Loss > 0 && h.Ways.Any(way => way.From == member)).Select(
            h => (h.Loss, To: h.Ways.Where(way => way.From == member))).ToArray();
        foreach (var (percent, to) in loss.SelectMany(l => l.To.Select(way => (l.Loss, way.To))))
            Line($"ip daddr {{ {MemberNetwork.Address(to)}, {MemberNetwork.Substitute(to)} }} numgen random mod 100 < {percent} counter drop");
        Line($"}}");
        Line($"}}");
        return rules.ToString();
    }

    private sealed class Release(Func<Task> release) : IAsyncDisposable
    {
        public ValueTask DisposeAsync() => new(release());
    }
}
