using System.Text;
using Microsoft.Extensions.Logging;
using RaftKit.Node.Loop;
using RaftKit.Recipes;
using RaftKit.Znodes;

namespace RaftKit.Hosting;

/// <summary>One cluster of this process: its member, and what dependency injection hands out of it.</summary>
internal sealed class RaftKitHost : ILeaderElections, IQuorumMember, IAsyncDisposable
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, (LeaderElection Election, ReadOnlyMemory<byte> Data)> _elections = new(StringComparer.Ordinal);
    private readonly Lazy<IZnodeSession> _session;
    private readonly ILogger _logger;
    private readonly TimeProvider _time;
    private readonly RaftKitMetrics _metrics;
    private Task _watchingForFailure = Task.CompletedTask;
    private bool _started;
    private bool _stopped;

    public RaftKitHost(
        string? key, RaftKitOptions options, IClusterMember member, TimeProvider time, RaftKitMetrics metrics, ILogger logger)
    {
        Key = key;
        Options = options;
        Member = member;
        _time = time;
        _metrics = metrics;
        member.ProposalMeter = metrics.ProposalsOf(this);
        _logger = logger;
        SessionSource = new ZnodeSessionSource(member.Sessions);
        // A refusal (the node is busy) must not be what everybody is told ever after; two that ask at once are given the same by the
        // source.
        _session = new Lazy<IZnodeSession>(() => SessionSource.Current, LazyThreadSafetyMode.PublicationOnly);
    }

    public string? Key { get; }

    public RaftKitOptions Options { get; }

    public IClusterMember Member { get; }

    public ZnodeSessionSource SessionSource { get; }

    /// <summary>The host's own first session. When it has ended, it has ended: <see cref="SessionSource"/> has the next.</summary>
    public IZnodeSession Session => _session.Value;

    /// <summary>Why the node stopped by itself; null while it has not.</summary>
    public Exception? Failure => Member.Failed.IsCompletedSuccessfully ? Member.Failed.Result : null;

    public bool IsRunning => _started && !_stopped && Failure is null;

    public NodeStatus? Status => Member.Status;

    public async Task StartAsync(CancellationToken cancellationToken)
    {
        await Member.StartAsync(cancellationToken);
        _started = true;
        _metrics.Add(this);
        _watchingForFailure = ReportFailureAsync();
        if (Options.Members.Count == 0)
            RaftKitLog.Alone(_logger, Options.Member, Key ?? "");
        if (Options is { AllowPlainText: true, Tls: null, Role: QuorumRole.Member } && !ListensOnLoopback())
            RaftKitLog.PlainText(_logger, Options.Member, Key ?? "", Options.ListenEndpoint);
        RaftKitLog.Started(_logger, Options.Member, Key ?? "", Options.DataDirectory);
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        if (!_started || _stopped)
            return;
        _stopped = true;
        await Member.StopAsync(cancellationToken);
        RaftKitLog.Stopped(_logger, Options.Member, Key ?? "");
    }

    public LeaderElection For(string path, ReadOnlyMemory<byte> data = default)
    {
        lock (_lock)
        {
            if (!_elections.TryGetValue(path, out var known))
            {
                // A copy: who gave it may use its buffer again, and it is what later calls are compared with.
                known.Data = data.ToArray();
                known.Election = new LeaderElection(
                    SessionSource, path, new LeaderElectionOptions { Data = known.Data, TimeProvider = _time });
                _elections.Add(path, known);
            }
            else if (!data.IsEmpty && !data.Span.SequenceEqual(known.Data.Span))
            {
                throw new ArgumentException(
                    $"The election at '{path}' has the data {Text(known.Data.Span)} already, and {Text(data.Span)} is asked for now. Use one value, or none in later calls.",
                    nameof(data));
            }

            return known.Election;
        }
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync(CancellationToken.None);

        // The member first: what sessions still ask is then answered with a refusal at once. The elections last: what they still had to
        // withdraw has ended with its session.
        await Member.DisposeAsync();
        await SessionSource.DisposeAsync();
        LeaderElection[] elections;
        lock (_lock)
            elections = [.. _elections.Values.Select(e => e.Election)];
        foreach (var election in elections)
            await election.DisposeAsync();
    }

    private static string Text(ReadOnlySpan<byte> data) =>
        data.IsEmpty ? "(none)" : data.ContainsAnyExceptInRange((byte)' ', (byte)'~')
            ? $"0x{Convert.ToHexString(data)}"
            : $"'{Encoding.ASCII.GetString(data)}'";

    private bool ListensOnLoopback() => Endpoint.TryParse(Options.ListenEndpoint, out var endpoint, anyHost: true) && endpoint.IsLoopback;

    private async Task ReportFailureAsync()
    {
        var cause = await Member.Failed;
        if (!_stopped)
            RaftKitLog.Failed(_logger, Options.Member, Key ?? "", cause);
    }
}
