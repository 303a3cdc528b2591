using RaftKit.Consensus;
using RaftKit.Node.Liveness;
using RaftKit.Node.Loop;
using RaftKit.Node.Transport;

namespace RaftKit.Node.Rehearsal;

/// <summary>
/// The other half of a failover: a link breaks, dials are refused, the process table gives proof. Two shipped transports on free loopback
/// ports, for some milliseconds; they let in nobody but each other.
/// </summary>
internal static class TransportRehearsal
{
    private static readonly MemberId Survivor = new(1);
    private static readonly MemberId Victim = new(2);

    /// <summary>Rehearses.</summary>
    /// <param name="patience">When to give up.</param>
    /// <returns>Whether the death was noticed, and proven where this system can prove one.</returns>
    /// <exception cref="System.Net.Sockets.SocketException">There is no loopback to listen on.</exception>
    public static async Task<bool> RunAsync(TimeSpan patience)
    {
        var cluster = Guid.NewGuid();
        var process = HostProcess.Current();
        // The start time of another process under this one's pid: one that is gone.
        var gone = process with { StartTime = process.StartTime + 1 };
        var seen = new Inbox();
        var unseen = new Inbox();
        using var loggers = new DeferredLoggers(UnheardLogger.Instance);
        await using var survivor = Make(seen, loggers);
        await using var victim = Make(unseen, loggers);
        survivor.Start();
        victim.Start();
        survivor.SetHello(new PeerHello(cluster, Survivor, 1, 1, survivor.Endpoint, process));
        victim.SetHello(new PeerHello(cluster, Victim, 1, 1, victim.Endpoint, gone));
        survivor.SetPeers(new Dictionary<MemberId, string> { [Victim] = victim.Endpoint });
        victim.SetPeers(new Dictionary<MemberId, string> { [Survivor] = survivor.Endpoint });

        using var limit = new CancellationTokenSource(patience);
        try
        {
            await Task.WhenAll(seen.LinkUp, unseen.LinkUp).WaitAsync(limit.Token).ConfigureAwait(false);
            await victim.AbortAsync().ConfigureAwait(false);
            var evidence = await seen.Died.WaitAsync(limit.Token).ConfigureAwait(false);
            return evidence.Proven || process == HostProcess.Unknown;
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    private static TcpTransport Make(Inbox inbox, DeferredLoggers loggers) =>
        new(new TcpTransportOptions { Listen = "127.0.0.1:0" }, inbox, TimeProvider.System, loggers.CreateLogger("RaftKit.Transport"));

    private sealed class Inbox : INodeInbox
    {
        private readonly TaskCompletionSource _up = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource<DeathEvidence> _died = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task LinkUp => _up.Task;

        public Task<DeathEvidence> Died => _died.Task;

        public void Post(NodeInput input)
        {
            if (input is NodeInput.LinkUp)
                _up.TrySetResult();
            else if (input is NodeInput.PeerDied died)
                _died.TrySetResult(died.Evidence);
        }
    }
}
