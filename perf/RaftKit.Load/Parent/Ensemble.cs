using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Threading.Channels;

namespace RaftKit.Load.Parent;

/// <summary>The member processes of one measurement.</summary>
internal sealed class Ensemble : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly string _folder;
    private readonly MemberTimeouts? _timeouts;
    private readonly IReadOnlyList<int> _ports;
    private readonly MemberProcess[] _members;
    private readonly Channel<(MemberProcess From, MemberReport Report)> _reports = Channel.CreateUnbounded<(MemberProcess, MemberReport)>();

    public Ensemble(int members, string folder, MemberTimeouts? timeouts = null)
    {
        _timeouts = timeouts;
        Directory.CreateDirectory(folder);
        _folder = folder;
        _ports = FindPorts(members);
        _members = new MemberProcess[members];

        // Each member's output and errors take a thread that waits for them.
        ThreadPool.SetMinThreads(4 + 2 * members, 4);
        for (var id = 1; id <= members; id++)
            Start(id);
    }

    public IReadOnlyList<MemberProcess> Members => _members;

    /// <summary>User and system time of all members so far.</summary>
    public TimeSpan ProcessorTime => _members.Aggregate(TimeSpan.Zero, (sum, member) => sum + member.ProcessorTime);

    /// <summary>Waits until one leads and all others follow it.</summary>
    public async Task<MemberProcess> LeaderAsync()
    {
        var began = Stopwatch.GetTimestamp();
        while (true)
        {
            var leaders = _members.Where(member => member.Status is { Leader: true, Ready: true }).ToArray();
            if (leaders is [var leader] && _members.All(member => member.Status.Ready && member.Status.Term == leader.Status.Term))
                return leader;
            await NextAsync(Patience - Stopwatch.GetElapsedTime(began), "a leader that all follow");
        }
    }

    /// <summary>Waits for a report of a kind; statuses are noted on the way.</summary>
    public async Task<T> ReportAsync<T>(TimeSpan within)
        where T : MemberReport
    {
        while (true)
        {
            switch ((await NextAsync(within, typeof(T).Name)).Report)
            {
                case T wanted:
                    return wanted;
                case MemberReport.Failed failed:
                    throw new LoadFailedException(failed.Reason);
            }
        }
    }

    public MemberProcess Start(int id)
    {
        var settings = new MemberSettings(id, _ports, Path.Combine(_folder, $"member-{id}"), _timeouts);
        return _members[id - 1] = new MemberProcess(settings, LogOf(id), (from, report) => _reports.Writer.TryWrite((from, report)));
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var member in _members)
            member.Release();
        await Task.WhenAny(Task.WhenAll(_members.Select(member => member.Ended)), Task.Delay(TimeSpan.FromSeconds(10)));
        foreach (var member in _members)
            member.Dispose();
    }

    private async Task<(MemberProcess From, MemberReport Report)> NextAsync(TimeSpan within, string what)
    {
        using var limit = new CancellationTokenSource(within > TimeSpan.Zero ? within : TimeSpan.Zero);
        try
        {
            var next = await _reports.Reader.ReadAsync(limit.Token);
            if (next.Report is MemberReport.Status status)
                next.From.Status = status;
            return next;
        }
        catch (OperationCanceledException)
        {
            throw new LoadFailedException($"Waited for {what} in vain. {string.Join(" ", _members.Select(Describe))}");
        }
    }

    private string Describe(MemberProcess member)
    {
        var logged = File.ReadLines(LogOf(member.Settings.Id)).LastOrDefault(
            line => line.Length > 0 && !line.StartsWith("   at ", StringComparison.Ordinal));
        return $"Member {member.Settings.Id}: {member.Status}; logged last: {logged ?? "nothing"}.";
    }

    private string LogOf(int member) => Path.Combine(_folder, $"member-{member}.log");

    // Below the range of outgoing connections, so that none of these takes a killed member's port.
    private static List<int> FindPorts(int count)
    {
        var ports = new List<int>();
        while (ports.Count < count)
        {
            using var listener = new TcpListener(IPAddress.Loopback, Random.Shared.Next(16_000, 32_000));
            try
            {
                listener.Start();
            }
            catch (SocketException)
            {
                continue;
            }

            var port = ((IPEndPoint)listener.LocalEndpoint).Port;
            if (!ports.Contains(port))
                ports.Add(port);
        }

        return ports;
    }
}

/// <summary>The measurement could not be made.</summary>
internal sealed class LoadFailedException(string message) : Exception(message);
