using Microsoft.Extensions.Logging.Abstractions;
using RaftKit.Consensus;
using RaftKit.Node.Liveness;
using RaftKit.Node.Loop;
using RaftKit.Node.Transport;
using Xunit;

namespace RaftKit.Node.Tests.Loop;

/// <summary>A node that fails never takes the host process with it (DESIGN, promise 10).</summary>
public sealed class FailingMemberTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    private readonly string _directory = Directory.CreateTempSubdirectory("raftkit-node-").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task What_is_thrown_while_it_tells_of_its_failure_ends_the_node_alone()
    {
        var self = new MemberId(1);
        var options = new NodeLoopOptions
        {
            Self = self,
            Members = new Dictionary<MemberId, string> { [self] = "127.0.0.1:0" },
            Seed = 1,
            HostProcess = HostProcess.Current(),
        };
        var transport = new TcpTransportOptions { Listen = "127.0.0.1:0" };
        await using var node = new RaftNode(
            options, transport, _directory, [], [new Thrower()], TimeProvider.System, NullLoggerFactory.Instance);
        node.Start();

        var failure = await node.Ended.WaitAsync(Patience);

        Assert.Equal("in the tick", failure?.Message);
    }

    private sealed class Thrower : ILoopParticipant
    {
        public byte Channel => 1;

        public void Start(ILoopServices services)
        {
        }

        public void StatusChanged(NodeStatus status)
        {
        }

        public void Tick(TimeSpan lateness) => throw new InvalidOperationException("in the tick");

        public void Received(MemberId from, ReadOnlyMemory<byte> payload)
        {
        }

        public void LinkChanged(MemberId member, bool up)
        {
        }

        public void PeerDied(DeathEvidence evidence)
        {
        }

        public void Stopping(Action done) => done();

        public void Stopped(string reason) => throw new InvalidOperationException("while it stops");
    }
}
