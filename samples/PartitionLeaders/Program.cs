using PartitionLeaders.Brokers;
using PartitionLeaders.Supervision;

// One program, two parts: started by a user it is the supervisor, which starts itself again as each of the brokers.
return args is [Broker.Verb, var settings]
    ? await Broker.RunAsync(BrokerSettings.Parse(settings))
    : await SampleCommand.RunAsync(args);
